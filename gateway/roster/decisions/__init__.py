"""What officials decide about the results of a roster run, and what face checks and visits bring back.

    wordings.py    the words of acts and sources, and how files name them
    chain.py       one event bound to the one before
    ledger.py      the record: append-only, private, its chain checked
    people.py      recipients as the results in the folder have them
    deciding.py    requests -> the rules -> events
    importing.py   filled-in work lists and stop lists -> requests

Beside the results on the agency's side, in a file of SQLite; people are found by keyed index and texts are encrypted,
so that the same record can live in a gateway's store.
"""
