"""Where models come from: ids, directories, the hub; what their files say of themselves, without torch."""
