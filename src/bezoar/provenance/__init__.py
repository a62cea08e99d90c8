"""Which data is this, who signed it, what became of it: statements and signatures, policy, the log, versions, pins, lineage.

In the order of use: `keys` makes keys; `files` and `records` digest what is signed; `statement` says what is true of it; `envelope`
signs exact bytes; `signing` joins them; `policy` and `trust` decide who may say what; `guard` hands out only bytes that were verified.
Trust rules do no input or output: bytes in, object or error out.
"""
