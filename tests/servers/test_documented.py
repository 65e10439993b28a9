"""Settings for APIs that cannot be run here: they ask what the vendor's documentation shows, and
understand its answers. Each conversation is as that documentation tells it; docs/targets/README.md
names it. This proves the settings against the documentation, not against the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

import pytest
from servers.deployment import TARGETS
from servers.script import Exchange, Json, playing

from connector.config import load
from connector.model import Delivery, Name
from connector.targets.http import Http
from connector.targets.target import Target


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery, the calls that it must make, and the CRM's id that is known after it.

    `fields` None: the record is deleted. `changed`: the fields that are new, all by default.
    """

    fields: Mapping[str, Json] | None
    exchanges: Sequence[Exchange]
    link: str | int | None = None
    changed: Sequence[str] | None = None
    meaning: str = "done"


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to one record of one resource; `settings` is a file of docs/targets/."""

    settings: str
    resource: str
    steps: Sequence[Step]
    before: Sequence[Exchange] = ()

    def __str__(self) -> str:
        return f"{self.settings}-{self.resource}"


TOKEN = {"access_token": "T", "expires_in": 3600, "token_type": "Bearer"}
BEARER = {"Authorization": "Bearer T"}
UUID = str(uuid5(NAMESPACE_URL, "77"))

INHOUSE = Story(
    "inhouse-upsert",
    "contacts",
    [
        Step(
            {"name": "Lan", "note": None},
            [
                Exchange(
                    "POST /contacts/upsert",
                    {"name": "Lan", "note": None, "ext_id": "77"},
                    200,
                    {"data": {"id": 12, "name": "Lan"}},
                    {"Authorization": "Basic eHh4eDp4eHh4"},
                )
            ],
            12,
        ),
        Step(
            {"name": "Lan Anh", "note": "x"},
            [
                Exchange(
                    "POST /contacts/upsert",
                    {"name": "Lan Anh", "note": "x", "ext_id": "77"},
                    200,
                    {"data": {"id": 13, "name": "Lan Anh"}},
                )
            ],
            13,
            ["note"],
        ),
        Step(
            {"name": "Lan Anh", "note": "y"},
            [Exchange("POST /contacts/upsert", None, 200, {"error": "no such name"})],
            meaning="refused",
        ),
        Step(None, [Exchange("DELETE /contacts/13", None, 204)]),
    ],
)
HUBSPOT = Story(
    "hubspot",
    "contacts",
    [
        Step(
            {"name": "Lan", "created_at": None, "age": 7},
            [
                Exchange(
                    "POST /crm/v3/objects/contacts/batch/upsert",
                    {
                        "inputs": [
                            {
                                "idProperty": "caresoft_id",
                                "id": "77",
                                "properties": {"lastname": "Lan", "age": "7"},
                            }
                        ]
                    },
                    200,
                    {"status": "COMPLETE", "results": [{"id": "501", "new": True}]},
                )
            ],
            "501",
        ),
        Step(
            {"name": "Lan Anh", "age": None},
            [
                Exchange(
                    "PATCH /crm/v3/objects/contacts/501",
                    {"properties": {"lastname": "Lan Anh", "age": ""}},
                    200,
                    {"id": "501", "properties": {}},
                )
            ],
            "501",
        ),
        Step(
            {"name": "Lan Anh", "age": "8"},
            [
                Exchange(
                    "PATCH /crm/v3/objects/contacts/501",
                    {"properties": {"age": "8"}},
                    404,
                    {"status": "error", "category": "OBJECT_NOT_FOUND"},
                ),
                Exchange(
                    "POST /crm/v3/objects/contacts/batch/upsert",
                    {
                        "inputs": [
                            {
                                "idProperty": "caresoft_id",
                                "id": "77",
                                "properties": {"lastname": "Lan Anh", "age": "8"},
                            }
                        ]
                    },
                    200,
                    {"status": "COMPLETE", "results": [{"id": "502", "new": True}]},
                ),
            ],
            "502",
            ["age"],
        ),
        Step(None, [Exchange("DELETE /crm/v3/objects/contacts/502", None, 204)]),
    ],
)
HUBSPOT_REFUSAL = Story(
    "hubspot",
    "deals",
    [
        Step(
            {"name": "Big", "stage_id": "nowhere"},
            [
                Exchange(
                    "POST /crm/v3/objects/deals/batch/upsert",
                    None,
                    207,
                    {
                        "status": "COMPLETE",
                        "results": [],
                        "numErrors": 1,
                        "errors": [{"status": "error", "category": "VALIDATION_ERROR"}],
                    },
                )
            ],
            meaning="refused",
        )
    ],
)
SALESFORCE = Story(
    "salesforce",
    "tickets",
    [
        Step(
            {"subject": "Hello", "contact": "003A"},
            [
                Exchange(
                    "PATCH /services/data/v62.0/sobjects/Case/CareSoft_Id__c/77",
                    {"Subject": "Hello", "ContactId": "003A"},
                    201,
                    {"id": "500A", "success": True, "errors": [], "created": True},
                    BEARER,
                )
            ],
            "500A",
        ),
        Step(
            {"subject": "Hello", "contact": None},
            [Exchange("PATCH /services/data/v62.0/sobjects/Case/500A", {"ContactId": None}, 204)],
            "500A",
            ["contact"],
        ),
        Step(None, [Exchange("DELETE /services/data/v62.0/sobjects/Case/500A", None, 204)]),
    ],
    [Exchange("POST /services/oauth2/token", None, 200, TOKEN)],
)
SALESFORCE_SEVERAL = Story(
    "salesforce",
    "contacts",
    [
        Step(
            {"name": "Lan"},
            [
                Exchange(
                    "PATCH /services/data/v62.0/sobjects/Contact/CareSoft_Id__c/77",
                    {"LastName": "Lan"},
                    300,
                    ["/services/data/v62.0/sobjects/Contact/003A"],
                )
            ],
            meaning="refused",
        )
    ],
    [Exchange("POST /services/oauth2/token", None, 200, TOKEN)],
)
DYNAMICS_HEADERS = {"Prefer": "return=representation", "OData-Version": "4.0", **BEARER}
DYNAMICS = Story(
    "dynamics365",
    "contacts",
    [
        Step(
            {"name": "Lan", "organization": "a-1"},
            [
                Exchange(
                    "PATCH /api/data/v9.2/contacts(cs_externalid='77')",
                    {"lastname": "Lan", "parentcustomerid_account@odata.bind": "/accounts(a-1)"},
                    201,
                    {"@odata.etag": 'W/"1"', "contactid": "c-1", "lastname": "Lan"},
                    DYNAMICS_HEADERS,
                )
            ],
            "c-1",
        ),
        Step(
            {"name": "Lan Anh", "organization": "a-1"},
            [
                Exchange(
                    "PATCH /api/data/v9.2/contacts(c-1)",
                    {"lastname": "Lan Anh"},
                    404,
                    {"error": {"code": "0x80040217", "message": "contact Does Not Exist"}},
                    {"If-Match": "*", **DYNAMICS_HEADERS},
                ),
                Exchange(
                    "PATCH /api/data/v9.2/contacts(cs_externalid='77')",
                    {
                        "lastname": "Lan Anh",
                        "parentcustomerid_account@odata.bind": "/accounts(a-1)",
                    },
                    201,
                    {"contactid": "c-2"},
                ),
            ],
            "c-2",
            ["name"],
        ),
        Step(None, [Exchange("DELETE /api/data/v9.2/contacts(c-2)", None, 204)]),
    ],
    [Exchange("POST /token", None, 200, TOKEN)],
)
ZOHO_DONE = {"code": "SUCCESS", "status": "success", "details": {"id": "4150"}}
ZOHO_GONE = {
    "code": "INVALID_DATA",
    "details": {"resource_path_index": 1},
    "message": "the id given seems to be invalid",
    "status": "error",
}
ZOHO = Story(
    "zoho",
    "contacts",
    [
        Step(
            {"name": "Lan", "organization": "9"},
            [
                Exchange(
                    "POST /crm/v8/Contacts/upsert",
                    {
                        "data": [
                            {"Last_Name": "Lan", "Account_Name": {"id": "9"}, "CareSoft_Id": "77"}
                        ],
                        "duplicate_check_fields": ["CareSoft_Id"],
                    },
                    201,
                    {"data": [{**ZOHO_DONE, "action": "insert"}]},
                    {"Authorization": "Zoho-oauthtoken T"},
                )
            ],
            "4150",
        ),
        Step(
            {"name": "Lan Anh", "organization": "9"},
            [
                Exchange(
                    "PUT /crm/v8/Contacts/4150",
                    {"data": [{"Last_Name": "Lan Anh"}]},
                    200,
                    {"data": [ZOHO_DONE]},
                )
            ],
            "4150",
            ["name"],
        ),
        Step(
            {"name": "Lan"},
            [
                Exchange("PUT /crm/v8/Contacts/4150", None, 400, {"data": [ZOHO_GONE]}),
                Exchange(
                    "POST /crm/v8/Contacts/upsert",
                    None,
                    201,
                    {"data": [{**ZOHO_DONE, "details": {"id": "4151"}}]},
                ),
            ],
            "4151",
        ),
        Step(
            None,
            [Exchange("DELETE /crm/v8/Contacts/4151", None, 400, {"data": [ZOHO_GONE]})],
        ),
    ],
    [
        Exchange(
            "POST /token?grant_type=refresh_token&refresh_token=xxxx&client_id=xxxx"
            "&client_secret=xxxx",
            None,
            200,
            TOKEN,
        )
    ],
)
PIPEDRIVE_SEARCH = "GET /api/v2/persons/search?term={any}&fields=custom_fields&exact_match=true"
PIPEDRIVE = Story(
    "pipedrive",
    "contacts",
    [
        Step(
            {"name": "Lan", "phone": "+84889999999"},
            [
                Exchange(
                    PIPEDRIVE_SEARCH,
                    None,
                    200,
                    {
                        "success": True,
                        "data": {
                            "items": [
                                {"result_score": 1, "item": {"id": 3, "custom_fields": ["x", "77"]}}
                            ]
                        },
                    },
                    {"x-api-token": "xxxx"},
                ),
                Exchange(
                    "PATCH /api/v2/persons/3",
                    {
                        "name": "Lan",
                        "phones": [{"value": "+84889999999", "primary": True, "label": "work"}],
                    },
                    200,
                    {"success": True, "data": {"id": 3, "custom_fields": {"xxxx": "77"}}},
                ),
            ],
            3,
        ),
        Step(None, [Exchange("DELETE /api/v2/persons/3", None, 200, {"data": {"id": 3}})]),
    ],
)
PIPEDRIVE_NEW = Story(
    "pipedrive",
    "deals",
    [
        Step(
            {"name": "Big", "contact": 3},
            [
                *2
                * [
                    Exchange(
                        PIPEDRIVE_SEARCH.replace("persons", "deals"),
                        None,
                        200,
                        {"success": True, "data": {"items": []}},
                    )
                ],
                Exchange(
                    "POST /api/v2/deals",
                    {"title": "Big", "person_id": 3, "custom_fields": {"xxxx": "77"}},
                    201,
                    {"success": True, "data": {"id": 8}},
                ),
            ],
            8,
        ),
    ],
)
ODOO_SEARCH = {
    "domain": [["x_caresoft_id", "=", "77"]],
    "fields": ["id", "x_caresoft_id"],
    "limit": 3,
    "context": {"active_test": False},
}
ODOO = Story(
    "odoo",
    "contacts",
    [
        Step(
            {"name": "Lan", "organization": None},
            [
                Exchange(
                    "POST /json/2/res.partner/search_read",
                    ODOO_SEARCH,
                    200,
                    [{"id": 9, "x_caresoft_id": "77"}],
                    {"X-Odoo-Database": "xxxx", "Authorization": "Bearer xxxx"},
                ),
                Exchange(
                    "POST /json/2/res.partner/write",
                    {"ids": [9], "vals": {"name": "Lan", "parent_id": False}},
                    200,
                    True,
                ),
            ],
            9,
        ),
        Step(
            {"name": "Lan Anh"},
            [
                Exchange(
                    "POST /json/2/res.partner/write",
                    {"ids": [9], "vals": {"name": "Lan Anh"}},
                    404,
                    {"name": "odoo.exceptions.MissingError", "message": "Record does not exist"},
                ),
                Exchange("POST /json/2/res.partner/search_read", ODOO_SEARCH, 200, []),
                Exchange("POST /json/2/res.partner/search_read", None, 200, []),
                Exchange(
                    "POST /json/2/res.partner/create",
                    {"vals_list": [{"name": "Lan Anh", "x_caresoft_id": "77"}]},
                    200,
                    [10],
                ),
            ],
            10,
        ),
        Step(None, [Exchange("POST /json/2/res.partner/unlink", {"ids": [10]}, 200, True)]),
    ],
)
ESPO_SEARCH = (
    "GET /api/v1/Case?where[0][type]=equals&where[0][attribute]=cCaresoftId"
    "&where[0][value]={}&maxSize=3"
)
ESPO = Story(
    "espocrm",
    "tickets",
    [
        Step(
            {"subject": "Hello", "contact": "c1"},
            [
                Exchange(
                    ESPO_SEARCH.format("77"),
                    None,
                    200,
                    {"total": 1, "list": [{"id": "e1", "cCaresoftId": "77"}]},
                    {"X-Api-Key": "xxxx"},
                ),
                Exchange(
                    "PUT /api/v1/Case/e1",
                    {"name": "Hello", "contactId": "c1"},
                    200,
                    {"id": "e1", "cCaresoftId": "77"},
                ),
            ],
            "e1",
        ),
        Step(None, [Exchange("DELETE /api/v1/Case/e1", None, 200, True)]),
    ],
)
ESPO_NEW = Story(
    "espocrm",
    "leads",
    [
        Step(
            {"name": "Lan"},
            [
                *2
                * [
                    Exchange(
                        ESPO_SEARCH.replace("Case", "Lead").format("{any}"),
                        None,
                        200,
                        {"total": 0, "list": []},
                    )
                ],
                Exchange(
                    "POST /api/v1/Lead",
                    {"lastName": "Lan", "cCaresoftId": "77"},
                    200,
                    {"id": "e2", "cCaresoftId": "77"},
                    {"X-Skip-Duplicate-Check": "true"},
                ),
            ],
            "e2",
        ),
    ],
)
TWENTY = Story(
    "twenty",
    "contacts",
    [
        Step(
            {"name": "Lan", "organization": "o-1"},
            [
                Exchange(
                    'GET /rest/people?filter=caresoftId[eq]:"77"&limit=3',
                    None,
                    200,
                    {"data": {"people": [{"id": "t-1", "caresoftId": "77"}]}, "totalCount": 1},
                    {"Authorization": "Bearer xxxx"},
                ),
                Exchange(
                    "PATCH /rest/people/t-1",
                    {"name": {"lastName": "Lan"}, "companyId": "o-1"},
                    200,
                    {"data": {"updatePerson": {"id": "t-1", "caresoftId": "77"}}},
                ),
            ],
            "t-1",
        ),
        Step(
            None,
            [
                Exchange(
                    "DELETE /rest/people/t-1", None, 200, {"data": {"deletePerson": {"id": "t-1"}}}
                )
            ],
        ),
    ],
)
TWENTY_NEW = Story(
    "twenty",
    "organizations",
    [
        Step(
            {"name": "ACME", "website": "acme.example"},
            [
                *2
                * [
                    Exchange(
                        'GET /rest/companies?filter=caresoftId[eq]:"{any}"&limit=3',
                        None,
                        200,
                        {"data": {"companies": []}, "totalCount": 0},
                    )
                ],
                Exchange(
                    "POST /rest/companies",
                    {
                        "name": "ACME",
                        "domainName": {"primaryLinkUrl": "acme.example"},
                        "caresoftId": "77",
                    },
                    201,
                    {"data": {"createCompany": {"id": "t-2", "caresoftId": "77"}}},
                ),
            ],
            "t-2",
        ),
    ],
)
SUITE_BODY = {"type": "Contacts", "id": UUID, "attributes": {"last_name": "Lan"}}
SUITE_DETAIL = "Bean Contacts with id {} is already exist"
SUITE = Story(
    "suitecrm",
    "contacts",
    [
        Step(
            {"name": "Lan"},
            [
                Exchange(
                    "POST /V8/module",
                    {"data": SUITE_BODY},
                    400,
                    {"errors": {"status": 400, "detail": SUITE_DETAIL.format(UUID)}},
                    {"Content-Type": "application/vnd.api+json", **BEARER},
                ),
                Exchange(
                    "PATCH /V8/module",
                    {"data": SUITE_BODY},
                    201,
                    {"data": {"type": "Contact", "id": UUID, "attributes": {}}},
                ),
            ],
        ),
        Step(
            {"name": "Lan Anh"},
            [
                Exchange(
                    "PATCH /V8/module",
                    None,
                    400,
                    {"errors": {"detail": f"Contacts module with id {UUID} is not found"}},
                )
            ],
            meaning="refused",
        ),
        Step(
            None,
            [
                Exchange(
                    f"DELETE /V8/module/Contacts/{UUID}",
                    None,
                    200,
                    {"meta": {"message": f"Record with id {UUID} is deleted"}},
                )
            ],
        ),
    ],
    [Exchange("POST /access_token", None, 200, TOKEN)],
)

STORIES = (
    INHOUSE,
    HUBSPOT,
    HUBSPOT_REFUSAL,
    SALESFORCE,
    SALESFORCE_SEVERAL,
    DYNAMICS,
    ZOHO,
    PIPEDRIVE,
    PIPEDRIVE_NEW,
    ODOO,
    ESPO,
    ESPO_NEW,
    TWENTY,
    TWENTY_NEW,
    SUITE,
)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_the_settings_hold_the_conversation_that_the_documentation_shows(story: Story) -> None:
    exchanges = [*story.before, *(call for step in story.steps for call in step.exchanges)]
    with playing(exchanges) as script:
        http = Http()
        target = _target(story.settings, script.url)
        link: str | int | None = None
        delivered, number = False, 1
        for step in story.steps:
            found = target.deliver(_delivery(story, step, link, delivered, number), http, _nothing)
            assert script.complaints == []
            assert found.meaning == step.meaning, found.reason
            if step.link is not None:
                assert found.link == step.link
            link = found.link if found.link is not None else link
            delivered, number = delivered or step.meaning == "done", found.number


def _target(name: str, url: str) -> Target:
    file = TARGETS / f"{name}.yaml"
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)}", file.read_text("utf-8")), "xxxx")
    environ.update(CRM_BASE_URL=url, CRM_TOKEN_URL=f"{url}/token")
    return Target(load(file, environ).targets["crm"])


def _delivery(
    story: Story, step: Step, link: str | int | None, delivered: bool, number: int
) -> Delivery:
    return Delivery(
        name=Name("crm", story.resource, "77"),
        action="delete" if step.fields is None else "upsert",
        fields=step.fields or {},
        changed=frozenset(step.changed or step.fields or ()),
        link=link,
        delivered=delivered,
        number=number,
    )


def _nothing() -> None:
    """No lease to renew."""
