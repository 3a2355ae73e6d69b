"""The record of the labelled sentences that the library ships: word lists of our own and what is made of them."""
