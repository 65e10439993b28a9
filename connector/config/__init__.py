"""config.yaml and the environment, as one checked, frozen `Config`.

`load` reads; `model` is what comes out; `schema` describes every key (reading, reference and JSON
Schema follow it); `environment` puts variables in; `resources` works out inheritance and judges
what several keys say together. Imports only `model`, `errors`, `problems` and `yamltext`; needs no
Redis and no network.
"""

from connector.config.load import load
from connector.config.model import (
    DEFAULT_RESOURCE,
    AnswerRule,
    App,
    Auth,
    Basic,
    Bearer,
    Call,
    CareSoft,
    ClientCredentials,
    Config,
    Expression,
    Field,
    HeaderAuth,
    Login,
    Mobio,
    NoAuth,
    QueryAuth,
    RateLimit,
    Receiver,
    ResourceConfig,
    Retention,
    Retry,
    Secret,
    SourceConfig,
    Step,
    TargetConfig,
    Upsert,
    Url,
)

__all__ = [
    "DEFAULT_RESOURCE",
    "AnswerRule",
    "App",
    "Auth",
    "Basic",
    "Bearer",
    "Call",
    "CareSoft",
    "ClientCredentials",
    "Config",
    "Expression",
    "Field",
    "HeaderAuth",
    "Login",
    "Mobio",
    "NoAuth",
    "QueryAuth",
    "RateLimit",
    "Receiver",
    "ResourceConfig",
    "Retention",
    "Retry",
    "Secret",
    "SourceConfig",
    "Step",
    "TargetConfig",
    "Upsert",
    "Url",
    "load",
]
