"""The kinds of file a build can make.

Each has a folder whose ``TARGET`` is the whole record; `registry` lists them.
"""
