"""Faults in each provider's own words."""

from tests.faults.provider import as_json, details, docflow, geelark, huawei
from tests.faults.rows import DAY, ONE, accepted, already, blocked, dead, throttled, unknown
from tests.support.peer import http

# --- GeeLark ----------------------------------------------------------------------------------------------------------

GEELARK = [
    throttled("phones: 40007", geelark(40007, "slow"), 60, "1 min (12:01:00 UTC)", 'code 40007: slow"'),
    throttled("phones: 40007 as text", geelark("40007", "slow"), 60, "1 min (12:01:00 UTC)", "code 40007: slow"),
    throttled("phones: 40007 with HTTP 500", geelark(40007, status=500), 60, "1 min (12:01:00 UTC)", "40007"),
    throttled("phones: 40007, Retry-After 90", geelark(40007, "", "Retry-After: 90"), 90, "1 min 30 s (12:01:30 UTC)"),
    throttled("phones: 40007, Retry-After 0", geelark(40007, "", "Retry-After: 0"), 60, "1 min (12:01:00 UTC)"),
    throttled("phones: 40014", geelark(40014, "locked"), 7200, "2 h (14:00:00 UTC)", 'code 40014: locked"'),
    throttled("phones: 40017", geelark(40017, "later"), 5, "5 s (12:00:05 UTC)", 'code 40017: later"'),
    throttled("phones: 47001", geelark(47001, "busy"), 600, "10 min (12:10:00 UTC)", 'code 47001: busy"'),
    throttled("phones: 47002", geelark(47002, "busy"), 600, "10 min (12:10:00 UTC)", 'code 47002: busy"'),
    blocked(
        "phones: 41000",
        geelark(41000, "no points"),
        "balance",
        '"HTTP 200, code 41000: no points"',
        "in 30 min (12:30:00 UTC)",
    ),
    blocked(
        "phones: 41001",
        geelark(41001, "no money"),
        "balance",
        '"HTTP 200, code 41001: no money"',
        "One of its tasks tries in",
    ),
    *(
        blocked(f"phones: {code}", geelark(code, "go away"), "credentials", f'"HTTP 200, code {code}: go away"')
        for code in (40003, 40011, 40013, 40015, 40016)
    ),
    blocked("phones: 46001", geelark(46001, "plan expired"), "balance", '"HTTP 200, code 46001: plan expired"'),
    blocked("phones: 40012", geelark(40012, "retired"), "address", '"HTTP 200, code 40012: retired"'),
    unknown("phones: 40000", geelark(40000, "unknown error"), 'code 40000: unknown error"'),
    unknown("phones: 50000", geelark(50000, "internal"), 'code 50000: internal"'),
    already("phones: an unlisted code", geelark(49999, "what?"), 'code 49999: what?"'),
    *(
        dead(f"phones: {code} about the one id", geelark(code, "no"), reason, f'code {code}: no"')
        for code, reason in (
            (40001, "refused"),
            (40002, "refused"),
            (40004, "refused"),
            (40005, "not_found"),
            (48000, "limit_reached"),
            (48002, "not_found"),
            (48003, "resource_gone"),
            (47003, "resource_gone"),
            (47004, "resource_gone"),
            (48004, "refused"),
        )
    ),
    *(
        dead(f"phones: item {code!r}", details((ONE, code), code=40009), reason, f'code {code}: item {code}"')
        for code, reason in (
            (48000, "limit_reached"),
            ("48000", "limit_reached"),
            (48002, "not_found"),
            (48003, "resource_gone"),
            ("48004", "refused"),
            (40005, "resource_gone"),
            (47003, "resource_gone"),
        )
    ),
    *(
        blocked(f"phones: item {code}", details((ONE, code), code=40009), cause, f"code {code}: item {code}")
        for code, cause in ((41000, "balance"), ("41001", "balance"), (46001, "balance"), (40016, "credentials"))
    ),
    *(
        throttled(f"phones: item {code}", details((ONE, code), code=40009), seconds, at, f"code {code}: item {code}")
        for code, seconds, at in (
            (40007, 60, "1 min (12:01:00 UTC)"),
            (40014, 7200, "2 h (14:00:00 UTC)"),
            (40017, 5, "5 s (12:00:05 UTC)"),
            (47002, 600, "10 min (12:10:00 UTC)"),
        )
    ),
    unknown("phones: item 50000", details((ONE, 50000), code=40009), 'code 50000: item 50000"'),
    unknown("phones: details without end", details(*[(ONE, 48002)] * 101), "details of 101 tasks"),
    unknown("phones: 524 of a front end", http(524, b"error code: 524"), "error code: 524"),
    unknown("phones: 502 of a front end", as_json({"message": "upstream"}, 502), "upstream"),
    throttled(
        "phones: 429 of a front end",
        as_json({"message": "limit"}, 429, "Retry-After: 17"),
        17,
        "17 s (12:00:17 UTC)",
        "limit",
    ),
    already("phones: item 48001", details((ONE, "48001"), code=40009), 'code 48001: item 48001"'),
    already("phones: an unlisted item code", details((ONE, 20002), code=40009), 'code 20002: item 20002"'),
    already("phones: an item without a code", details((ONE, None), code=40009), '"HTTP 200: item None"'),
    unknown("phones: item 40000", details((ONE, 40000), code=40009), 'code 40000: item 40000"'),
    dead("phones: an id as a number", details((1, 48002), code=40009), "not_found"),
    unknown("phones: all failed, nobody named", geelark(40009, "failed"), "does not account for it"),
    unknown("phones: some failed, nobody named", geelark(40006, "failed", data={}), "does not account for it"),
    unknown("phones: some failed, details null", geelark(40006, data={"failDetails": None}), "does not account for it"),
    unknown("phones: an id not asked for", details(("2", 48002), code=40009), "does not account for it"),
    dead("phones: an id twice", details((ONE, 48002), (ONE, 48002), code=40009), "not_found"),
    unknown("phones: an id that is empty", details(("", 48002)), "does not account for it"),
    unknown("phones: two taken of one", geelark(0, data={"successAmount": 2}), "does not account for it"),
    unknown("phones: none taken of one", geelark(0, data={"successAmount": 0}), "does not account for it"),
    unknown("phones: one failed, nobody named", geelark(0, data={"failAmount": 1}), "does not account for it"),
    unknown("phones: two asked for", geelark(0, data={"totalAmount": 2}), "does not account for it"),
    unknown("phones: an amount in words", geelark(0, data={"totalAmount": "one"}), "does not account for it"),
    unknown("phones: code null", geelark(None)),
    unknown("phones: code true", geelark(code=True)),
    unknown("phones: code 0.0", geelark(0.0)),
    unknown("phones: code 0 with HTTP 500", geelark(0, status=500)),
    accepted("phones: code as text", geelark("0", data={"totalAmount": "1", "successAmount": "1"})),
    accepted("phones: words that are not UTF-8", http(200, b'{"code":0,"msg":"\xff\xfe"}')),
    accepted("phones: no amounts", geelark(0)),
]

# --- Huawei -----------------------------------------------------------------------------------------------------------

MINUTE = "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:1 minute"
DAILY = "The daily quota of this API is used up"

HUAWEI = [
    throttled(
        "desktops: 429, one minute", huawei(429, "APIGW.0308", MINUTE), 60, "1 min (12:01:00 UTC)", "limit:5,time:"
    ),
    throttled("desktops: 429, APIG", huawei(429, "APIG.0308", "time:10 second"), 10, "10 s (12:00:10 UTC)"),
    throttled("desktops: 429, two hours", huawei(429, "APIG.0308", "time:2 hour"), 7200, "2 h (14:00:00 UTC)"),
    throttled("desktops: 429, many days", huawei(429, "APIG.0308", "time:9 day"), DAY, "1 d (2026-03-02 12:00:00 UTC)"),
    throttled("desktops: 429, no window", huawei(429, "APIG.0308", "slower"), 5, "5 s (12:00:05 UTC)", "slower"),
    throttled(
        "desktops: 429, Retry-After beside a window",
        huawei(429, "APIG.0308", MINUTE, "Retry-After: 90"),
        90,
        "1 min 30 s (12:01:30 UTC)",
    ),
    throttled(
        "desktops: 429, Retry-After 0 beside a window",
        huawei(429, "APIG.0308", MINUTE, "Retry-After: 0"),
        60,
        "1 min (12:01:00 UTC)",
    ),
    throttled(
        "desktops: 429, a window of nothing",
        huawei(429, "APIGW.0308", "limit:0,time:0 second"),
        5,
        "5 s (12:00:05 UTC)",
    ),
    throttled(
        "desktops: 429, a blank in it", huawei(429, "APIGW.0308", "limit:10, time:1 minute"), 60, "1 min (12:01:00 UTC)"
    ),
    throttled("desktops: IAM is away", huawei(503, "APIGW.0613", "unavailable"), 5, "5 s (12:00:05 UTC)"),
    throttled(
        "desktops: 503, busy", huawei(503, "WKS.00000503", "busy"), 5, "5 s (12:00:05 UTC)", "code WKS.00000503: busy"
    ),
    blocked("desktops: 429, a day's quota", huawei(429, "APIGW.0308", DAILY), "balance", DAILY, "in 30 min (12:30:00"),
    blocked("desktops: APIGW.0101", huawei(404, "APIGW.0101", "no such API"), "address", "check base_url: no such API"),
    blocked(
        "desktops: APIGW.0301",
        huawei(401, "APIGW.0301", "bad signature"),
        "credentials",
        "code APIGW.0301: bad signature",
    ),
    blocked(
        "desktops: APIG.0303", huawei(401, "APIG.0303", "expired"), "credentials", "check this machine's clock: expired"
    ),
    blocked("desktops: the app's quota", huawei(405, "APIGW.0501", "quota used up"), "balance", "quota used up"),
    blocked("desktops: the app is frozen", huawei(405, "APIG.0502", "frozen"), "balance", "code APIG.0502: frozen"),
    *(
        blocked(f"desktops: APIGW.{code}", huawei(403, f"APIGW.{code}", "not you"), "credentials", "not you")
        for code in ("0302", "0304", "0306", "0310", "0401", "0402", "0802")
    ),
    blocked("desktops: APIGW.0307", huawei(401, "APIGW.0307", "old"), "credentials", "the region of base_url: old"),
    blocked("desktops: 403 of the gateway", huawei(403, "APIGW.0301", "no"), "credentials", "code APIGW.0301: no"),
    blocked("desktops: 404 without WKS", huawei(404, "", "no route"), "address", "check base_url: no route"),
    dead(
        "desktops: 404 in its own words",
        huawei(404, "WKS.00000404", "no task"),
        "not_found",
        'code WKS.00000404: no task"',
    ),
    already("desktops: 409", huawei(409, "WKS.00000409", "runs"), 'code WKS.00000409: runs"'),
    already("desktops: 400", huawei(400, "WKS.00211102", "not failed"), 'code WKS.00211102: not failed"'),
    already("desktops: 403", huawei(403, "WKS.00081102", "forbidden"), 'code WKS.00081102: forbidden"'),
    already(
        "desktops: words one level down",
        as_json({"error": {"code": "WKS.1", "message": "deep"}}, 400),
        'code WKS.1: deep"',
    ),
    already("desktops: 494", huawei(494, "APIGW.0201", "headers too large"), 'code APIGW.0201: headers too large"'),
    already(
        "desktops: words in a list",
        as_json({"errors": [{"error_code": "WKS.2", "error_msg": "x"}]}, 400),
        "code WKS.2: x",
    ),
    already(
        "desktops: no own words", as_json({"badRequest": {"code": 400, "message": "deep"}}, 400), '"HTTP 400: deep"'
    ),
    unknown("desktops: 500", huawei(500, "WKS.00211401", "try again later"), 'code WKS.00211401: try again later"'),
    unknown("desktops: an empty task", as_json({"task_id": ""})),
    unknown("desktops: a task of blanks", as_json({"task_id": "  "})),
    unknown("desktops: a task that is a list", as_json({"task_id": ["a"]})),
    unknown("desktops: a task without end", as_json({"task_id": "9" * 300})),
    accepted("desktops: a task with HTTP 202", as_json({"task_id": "next"}, 202)),
    unknown("desktops: an error in a success", huawei(200, "WKS.0001", "refused"), 'code WKS.0001: refused"'),
    unknown(
        "desktops: an error beside a task",
        as_json({"task_id": "next", "error_code": "WKS.0001", "error_msg": "refused"}, 202),
        'code WKS.0001: refused"',
    ),
    accepted("desktops: a task that is a number", as_json({"task_id": 4711})),
]

# --- DocFlow ----------------------------------------------------------------------------------------------------------

DOCFLOW = [
    throttled("reviews: 40306", docflow(40306, "QPS"), 600, "10 min (12:10:00 UTC)", 'code 40306: QPS"'),
    throttled("reviews: 40306 with HTTP 403", docflow(40306, status=403), 600, "10 min (12:10:00 UTC)", "40306"),
    throttled("reviews: 429 in the body", docflow(429, "slow"), 5, "5 s (12:00:05 UTC)", 'code 429: slow"'),
    blocked(
        "reviews: 40003",
        docflow(40003, "no money"),
        "balance",
        '"HTTP 200, code 40003: no money"',
        "in 30 min (12:30:00 UTC)",
    ),
    blocked("reviews: 40101", docflow(40101, "no id"), "credentials", '"HTTP 200, code 40101: no id"'),
    blocked("reviews: 40102 with HTTP 500", docflow(40102, status=500), "credentials", "HTTP 500, code 40102"),
    blocked("reviews: 40103", docflow("40103", "address"), "credentials", '"HTTP 200, code 40103: address"'),
    blocked("reviews: 40400", docflow(40400, "bad URL"), "address", "check base_url: bad URL"),
    dead("reviews: 404 in its own words", docflow(404, "deleted", status=404), "not_found", '"HTTP 404: deleted"'),
    blocked("reviews: 404 of another server", as_json({"error": "no route"}, 404), "address", "check base_url"),
    already("reviews: 404 in the body alone", docflow(404, "deleted"), 'code 404: deleted"'),
    already("reviews: 1005006016", docflow(1005006016, "being processed"), 'code 1005006016: being processed"'),
    already("reviews: 400 in the body", docflow(400, "parameter"), 'code 400: parameter"'),
    already("reviews: 403 in the body", docflow(403, "no"), 'code 403: no"'),
    already("reviews: 409", docflow(409, "busy", status=409), '"HTTP 409: busy"'),
    already("reviews: an unlisted code", docflow(123, "what?"), 'code 123: what?"'),
    *(
        unknown(f"reviews: {code}", docflow(code, "broken"), f'code {code}: broken"')
        for code in (408, 423, 500, 502, 503, 504, 900, 30203, 50000, 50011, 50012, 50207)
    ),
    already("reviews: not 429", docflow(40429, "what?"), 'code 40429: what?"'),
    already("reviews: no such review", docflow(400, "review task not found"), 'code 400: review task not found"'),
    unknown("reviews: 200 with HTTP 500", docflow(200, status=500)),
    unknown("reviews: 200 with HTTP 201", docflow(200, status=201)),
    unknown("reviews: code null", docflow(None)),
    unknown("reviews: code true", docflow(code=True)),
    unknown("reviews: code 200.0", docflow(200.0)),
    accepted("reviews: code as text", docflow("200")),
]

THEIR_OWN = [*GEELARK, *HUAWEI, *DOCFLOW]
