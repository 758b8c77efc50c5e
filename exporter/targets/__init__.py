"""The kinds of file a build can make: one folder each, whose ``TARGET`` is the whole record, and `registry`, which lists them."""
