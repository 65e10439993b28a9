"""A search whose hits come in pages: ours is found on the second, and nothing leads elsewhere."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from connector.errors import ConfigInvalid

SEARCH = """
upsert:
  strategy: search_then_write
  search: {{path: /t, query: {{q: "{{external_id}}"{more}}}, found: data{rest}}}
  create: {{path: /t}}
  update: {{path: "/t/{{crm_id}}"}}
external_id_field: ext
crm_id: id
"""


class Pages:
    """Five rows whose ids all contain what is looked for, in pages of `size`; ours is the last.

    `how` says how an answer tells of the next page.
    """

    def __init__(self, crm, how, size=2):
        self.crm, self.how, self.size = crm, how, size
        self.rows = [{"id": n, "ext": "9999" if n == 5 else f"9999-{n}"} for n in range(1, 6)]
        self.updated, self.created = [], 0

    def __call__(self, seen):
        if seen.method == "PATCH":
            self.updated.append(seen.path)
            return self.crm.reply(200, {"id": 5})
        if seen.path.partition("?")[0] == "/t" and seen.method == "POST" and "q" not in seen.path:
            self.created += 1
            return self.crm.reply(201, {"id": 100})
        said = dict(seen.query)
        asked = seen.json if seen.body else said
        first = self.first(asked)
        rows = [row for row in self.rows if asked.get("q", said.get("q", "")) in row["ext"]]
        page = rows[first : first + self.size]
        more = first + self.size < len(rows)
        body, headers = self.told(first + self.size, more, said)
        return self.crm.reply(200, {"data": page, **body}, headers)

    def first(self, said):
        if "page" in said:
            return (int(said["page"]) - 1) * self.size
        return int(said.get("skip") or said.get("after") or 0)

    def told(self, after, more, said):
        path = f"/t?{urlencode({'q': said.get('q', ''), 'skip': after})}"
        return self.how(self.crm.url, path, after, more)


def nothing(url, path, after, more):
    return {}, {}


def in_body(key, whole=True):
    """The address of the next page under a key, null on the last."""

    def how(url, path, after, more):
        address = (url if whole else "") + path
        outer, _, inner = key.partition(".")
        value = address if more else None
        return ({outer: {inner: value}} if inner else {outer: value}), {}

    return how


def link(url, path, after, more):
    first = f'<{url}/t?first>; rel="first"'
    return {}, {"Link": f'{first}, <{url}{path}>; rel="next"' if more else first}


def odd_link(url, path, after, more):
    return {}, {"Link": f"<{path}>; title=more; rel=next"} if more else {}


def cursor(url, path, after, more):
    return {"paging": {"next": {"after": str(after)}}} if more else {}, {}


def total(url, path, after, more):
    return {"total": 5}, {}


def echoed_offset(url, path, after, more):
    return {"total": 5, "meta": {"skip": after - 2, "limit": 2}}, {}


def echoed_page(url, path, after, more):
    return {"pagination": {"page": after // 2, "total_pages": 3}}, {}


def has_more(url, path, after, more):
    return {"has_more": more}, {}


FOLLOWED = {
    "the usual place": (in_body("next"), "", ""),
    "another usual place": (in_body("links.next"), "", ""),
    "a path alone": (in_body("next", whole=False), "", ""),
    "OData": (in_body("@odata-nextLink".replace("-", ".")), "", ""),
    "the header Link": (link, "", ""),
    "the header Link, unquoted": (odd_link, "", ""),
    "the header Link, as said": (link, "", ", next: link"),
    "a place that is said": (in_body("more"), "", ", next: more"),
    "a cursor": (cursor, "", ", next: {cursor: paging.next.after, as: after}"),
    "numbered pages": (nothing, "", ", next: {page: page}"),
    "numbered pages from what the query says": (nothing, ", page: 1", ", next: {page: page}"),
    "an offset": (nothing, "", ", next: {offset: skip}"),
    "an offset that the search names": (total, ", skip: 0", ""),
    "a page that the search names": (has_more, ", page: 1", ""),
    "an offset that the answer gives back": (echoed_offset, "", ""),
    "a page that the answer gives back": (echoed_page, "", ""),
    "an offset, and full pages": (total, "", ", next: {offset: skip, size: 2}"),
}


@pytest.mark.parametrize("way", FOLLOWED)
def test_row_on_a_later_page_is_found_and_updated(crm, configure, way):
    how, more, rest = FOLLOWED[way]
    if way == "OData":
        how = lambda url, path, after, there: (  # noqa: E731
            {"@odata.nextLink": url + path} if there else {},
            {},
        )
    crm.otherwise = pages = Pages(crm, how)
    report = configure(SEARCH.format(more=more, rest=rest)).upsert()
    assert (report.meaning, report.link) == ("done", 5), report.reason
    assert (pages.updated, pages.created) == (["/t/5"], 0)


@pytest.mark.parametrize("place", ["{page: page, in: body}", "{offset: skip, in: body}"])
def test_parameter_may_stand_in_the_body_of_a_search(crm, configure, place):
    crm.otherwise = pages = Pages(crm, nothing)
    search = f"""
upsert:
  strategy: search_then_write
  search: {{method: POST, path: "/t?q", body: {{q: "{{external_id}}"}}, found: data, next: {place}}}
  create: {{path: /t}}
  update: {{path: "/t/{{crm_id}}"}}
external_id_field: ext
crm_id: id
"""
    assert configure(search).upsert().link == 5
    assert pages.created == 0


@pytest.mark.parametrize("how", [total, has_more])
def test_more_that_cannot_be_had_pauses_and_creates_nothing(crm, configure, how):
    crm.otherwise = pages = Pages(crm, how)
    report = configure(SEARCH.format(more="", rest="")).upsert()
    assert report.meaning == "misled"
    assert "say how to go on with `next:`" in report.reason
    assert pages.created == 0


def test_page_that_comes_again_pauses_and_creates_nothing(crm, configure):
    crm.otherwise = pages = Pages(crm, total)
    pages.first = lambda said: 0
    report = configure(SEARCH.format(more=", offset: 0", rest="")).upsert()
    assert (report.meaning, report.reason) == (
        "misled",
        "search: page 2 is the one before it again",
    )
    assert pages.created == 0


def test_one_page_is_all_where_that_is_said(crm, configure):
    crm.otherwise = pages = Pages(crm, total)
    assert configure(SEARCH.format(more="", rest=", next: none")).upsert().meaning == "done"
    assert pages.created == 1


def test_pages_are_bounded_and_the_bound_is_no_end(crm, configure):
    crm.otherwise = pages = Pages(crm, in_body("next"), size=1)
    report = configure(SEARCH.format(more="", rest=", pages: 3")).upsert()
    assert report.meaning == "misled"
    assert "3 rows on 3 pages" in report.reason
    assert (len(crm.seen), pages.created) == (3, 0)


def test_next_page_at_another_host_is_never_asked_for(crm, configure, free_port):
    elsewhere = f"http://127.0.0.1:{free_port}"
    crm.otherwise = Pages(crm, lambda url, path, after, more: ({"next": elsewhere + path}, {}))
    report = configure(SEARCH.format(more="", rest="")).upsert()
    assert report.meaning == "misled"
    assert report.reason.startswith("search: the next page is at another host, 127.0.0.1")
    assert [call.split("?")[0] for call in crm.calls] == ["GET /t"]


def test_answer_that_leads_to_itself_is_the_last(crm, configure):
    crm.otherwise = pages = Pages(
        crm, lambda url, path, after, more: ({"next": f"{url}/t?q=9999&skip=2"}, {})
    )
    pages.rows = pages.rows[:4]
    assert configure(SEARCH.format(more="", rest="")).upsert().meaning == "done"
    assert pages.created == 1
    assert len([call for call in crm.calls if "q=9999" in call]) == 2


def test_equal_rows_on_different_pages_are_several(crm, configure):
    crm.otherwise = pages = Pages(crm, nothing)
    pages.rows[0]["ext"] = "9999"
    report = configure(SEARCH.format(more="", rest=", next: {offset: skip}")).upsert()
    assert (report.meaning, report.reason) == ("refused", "2 records of the CRM have this id")


def test_search_with_one_page_costs_one_call(crm, configure):
    crm.otherwise = pages = Pages(crm, in_body("next"), size=10)
    configure(SEARCH.format(more="", rest="")).upsert()
    assert crm.calls == ["GET /t?q=9999", "PATCH /t/5"]
    assert pages.updated == ["/t/5"]


def test_next_page_that_is_not_there_ends_the_search(crm, configure):
    crm.otherwise = pages = Pages(crm, in_body("next"))
    crm.say(200, {"data": [{"id": 1, "ext": "9999-1"}], "next": "/t/page/2"})
    crm.say(404)
    assert configure(SEARCH.format(more="", rest="")).upsert().meaning == "done"
    assert pages.created == 1


WRONG = {
    "{page: p, offset: o}": "exactly one",
    "{size: 5}": "exactly one",
    "{cursor: a.b}": "cursor and as go together",
    "{page: p, as: x}": "cursor and as go together",
    "'a..b'": "not JMESPath",
    "[a]": "auto, none, link, a JMESPath expression, or a map",
}


@pytest.mark.parametrize("said", WRONG)
def test_unfit_way_to_the_next_page_is_an_error_with_its_place(configure, said):
    with pytest.raises(ConfigInvalid) as caught:
        configure(SEARCH.format(more="", rest=f", next: {said}"))
    (problem,) = caught.value.problems
    assert WRONG[said] in str(problem), str(problem)
    assert "search.next" in problem.message
    assert problem.place.line > 6
