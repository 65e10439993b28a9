"""The mapping language: YAML files in, changes to records out.

`load` reads files into a `MappingSet` or says everything that is wrong with them; `ruleset` and
`apply` run a set over an event's document; `functions` are what an expression can call; `published`
keeps the set in force. Pure but for `published`; no vendor, no target, no record is known here.
"""
