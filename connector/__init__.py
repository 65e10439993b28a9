"""Brings what happens in CareSoft and Mobio into a company's own CRM.

The rooms, from the top down: `cli`, `web` and `worker` start things; `receiver`, `jobs` and
`dashboard` say what happens to a request, a job, a page; `journal`, `mapping`, `records`,
`targets` and `sources` each own one subject; `model`, `config` and `errors` are known to all.
"""

from connector.unloaded import put_off

__version__ = "0.1.0"

put_off("redis.asyncio")  # a second redis-py, of which nothing here knows: 1.4 MiB in each process
