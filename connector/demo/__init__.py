"""What `connector demo` and the tests stand on: an embedded Redis and a small reference CRM.

Nothing of the connector itself runs through here; on a real platform this package stays unused.
"""
