"""Records: what events have said about a row in the CRM, and what the CRM was told of it."""
