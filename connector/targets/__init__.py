"""Delivers one record to a CRM over HTTP and says what the answer means."""
