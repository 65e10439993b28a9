"""Delivers one record to a CRM over HTTP and says what the answer means.

From the outside in: `target` is what others call, with the `terms` it speaks in; `strategies` say
which calls a record takes, `conversation` makes them about one record, `line` on the wire with
repeats and credentials (`auth`, `tokens`, `permission`), `http` with deadlines. What is sent is
written by `calls`, `template`, `fields`, `placement`, `ids` and `policies`; what comes back is
understood by `answers` (the table), `reasons`, `extract`, `lookup` and `readback`, and is shown
through `masking`. `idempotency` numbers the calls.

Knows neither Redis nor what the records mean. Waiting longer than a blip is the caller's.
"""
