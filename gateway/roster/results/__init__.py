"""What an agency gets from a roster run: files, work lists, and a page for the head of office.

    frames.py      what comes in: one chunk of recipients as polars frames, checked
    reasons.py     reasons as sentences, filled in by column
    rows.py        a chunk -> result rows, one for each recipient
    headings.py    the columns of every file, with their headings and words in both languages
    counting.py    what is counted while rows pass by
    repeated.py    recipients that stand in the roster more than once
    sheets.py      XLSX, written by column
    tables.py      one table as CSV and XLSX, safe to open
    lists.py       stop list, overpayments, findings, unanswered
    worklists.py   one file for each grid unit: visits, face checks
    charts.py      small charts as SVG
    amounts.py     numbers, shares and sums of money as the page writes them
    summary_words.py  what the page calls benefits and states, and their colours
    summary.py     the page
    staging.py     all files appear at once, or none
    writing.py     the way from chunks to files

Pure of network and of clocks. Everything passes chunk by chunk; what is kept for each recipient is eight bytes. The
same chunks give the same bytes.
"""
