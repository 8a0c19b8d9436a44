"""What the end-to-end tests stand on: the stack, the program as processes, the wire, the model.

Nothing here is shared with the worker: the contract is restated in Python, so that a mistake has to
be made twice to go unnoticed.
"""
