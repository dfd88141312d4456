"""A storm over one database: everything that can go wrong goes wrong at the same time, and then the books are judged.

Real processes of `newsletter` work in one folder with a clock that runs sixty times as fast as the machine's, while
publishers, the model, the provider, scanners, readers, reports, the owner and `kill -9` do their worst. Then all calms
down, what is left is sent, and the provider's own count is held against the ledger.
"""
