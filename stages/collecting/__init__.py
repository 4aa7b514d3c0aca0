"""Where pictures come from: searches, lists of addresses, films and other people's sets."""
