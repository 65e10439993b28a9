"""What a CRM documents of its API: read, proposed as configuration, and held against mappings.

`document` reads an OpenAPI file (`tolerant` its YAML) and follows its references; `shapes` makes
of its schemas plain, bounded JSON Schemas without any; `paths` and `places` find a resource in
them, and what stands where in its bodies; `propose` says which configuration that suggests, and
why; `written` puts it down. `known` keeps what the CRM knows of a resource in a file beside
config.yaml, and `fitting` warns of mapping rules that do not fit it.

Nothing is fetched and nothing is called: what an API really does is for `checkup`.
"""
