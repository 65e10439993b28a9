"""Delivers one record to a CRM over HTTP and says what the answer means.

From the outside in: `target` is what others call; `strategies` say which calls a record takes,
`batches` which of them take a call together, `conversation` makes them about one record, `line` on
the wire with repeats and credentials (`auth`, `tokens`, `cookies`, `signing`, `permission`), `http`
with deadlines over the `routes` of the target. What is sent is written by `calls`, `template`,
`fields`, `placement`, `ids` and `policies`; what comes back is understood by `answers` (the table),
`reasons`, `extract`, `lookup`, `pages` and `readback`, and is shown through `masking`.
`idempotency` numbers the calls.

Knows neither Redis nor what the records mean. Waiting longer than a blip is the caller's.
"""
