"""What this host can promise to runs, who gets it, and who waits in which order. Pure: data in, decisions out.

Here: amounts, the line of those that wait, whose turn it is, whose run gives way. Never here: what a job is, the store,
time, waking; `controller/job/capacity.py` keeps the book and asks.
"""
