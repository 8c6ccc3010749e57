//! The page, the API and the live stream, over a real socket and a real report.

use crate::support::server::{TOKEN, day, listen, next_event, post, published, server};
use crate::support::{get, http};
use chrono::TimeDelta;
use madang::cycle::{CycleReport, NotDone};
use madang::model::{Override, Reason, ReasonCode, Rung, Target};
use madang::site::{Id, Mode};
use madang::time::Timestamp;
use madang::units::Power;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

#[test]
fn the_page_comes_with_a_policy_that_allows_no_inline_code() {
    let server = published();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    let answer = lines.join("\n");
    assert!(
        answer.contains("default-src 'self'") && !answer.contains("unsafe"),
        "{answer}"
    );
    assert!(!answer.contains("access-control"), "no other origin may read: {answer}");
    assert!(!answer.contains("<script>") && !answer.contains(" style="), "{answer}");
    for name in ["app.js", "style.css", "icon.svg", "vendor/htm-preact.js"] {
        assert!(get(server.port, &format!("/{name}")).is_some(), "{name}");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/ui");
        assert!(folder.join(name).is_file());
    }
}

#[test]
fn every_documented_read_answers_with_json() {
    let server = published();
    let document = get(server.port, "/api/v1/openapi.json").unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The stream has no end.
        if methods.get("get").is_none() || path.ends_with("live") {
            continue;
        }
        let asked = match path.rsplit('/').next() {
            Some("why") => "?component=battery",
            Some("history") => "?series=a",
            _ => "",
        };
        let body = get(server.port, &format!("{path}{asked}")).unwrap_or_else(|| panic!("{path} does not answer"));
        assert!(serde_json::from_str::<Value>(&body).is_ok(), "{path}");
    }
    let now: Value = serde_json::from_str(&get(server.port, "/api/v1/now").unwrap()).unwrap();
    let sentence = now["sentence"]["ko"].as_str().unwrap();
    assert!(sentence.chars().any(|c| ('가'..='힣').contains(&c)), "{sentence}");
    let home = now["components"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["id"] == "home")
        .unwrap();
    assert!(
        home["power_kw"].as_f64().unwrap() > 0.0,
        "what no device measures is shown: {home}"
    );
}

#[test]
fn nothing_is_shown_before_the_first_cycle() {
    let server = server(None);
    let status = |path: &str| http(server.port, "GET", path, "", "").unwrap().0;
    assert_eq!(
        (status("/healthz"), status("/readyz"), status("/api/v1/now")),
        (503, 503, 503)
    );
    server.hub.publish(&day().1);
    let why = http(server.port, "GET", "/readyz", "", "").unwrap().1;
    assert_eq!(
        (status("/healthz"), status("/readyz"), status("/api/v1/now")),
        (200, 200, 200),
        "{why} {:?}",
        day().1.alarms
    );
}

#[test]
fn readiness_says_why_it_is_not_given() {
    let server = server(None);
    let mut report = day().1.clone();
    let mut state = (*report.state).clone();
    state.mode = Mode::Observe;
    report.state = Arc::new(state);
    server.hub.publish(&report);
    let (status, body) = http(server.port, "GET", "/readyz", "", "").unwrap();
    assert_eq!((status, body.as_str()), (503, "Observing: writes nothing\n"));
}

#[test]
fn a_request_under_another_name_is_refused() {
    let server = published();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET /api/v1/now HTTP/1.0\r\nHost: rebound.example\r\n\r\n").unwrap();
    let first = BufReader::new(stream).lines().next().unwrap().unwrap();
    assert!(first.contains("421"), "{first}");
}

#[test]
fn changes_need_the_token_and_a_body_that_makes_sense() {
    let server = published();
    let check = |token: &str, path: &str, body: &str, expected: u16| {
        let (status, answer) = post(server.port, path, token, body);
        assert_eq!(status, expected, "{path} {body}: {answer}");
    };
    check("", "/api/v1/release", "{}", 401);
    check("0123456789abcdee", "/api/v1/release", "{}", 401);
    check("0123456789abcdef0", "/api/v1/release", "{}", 401);
    check(TOKEN, "/api/v1/release", "{}", 200);
    check(TOKEN, "/api/v1/mode", r#"{"mode":"control"}"#, 200);
    check(TOKEN, "/api/v1/mode", r#"{"mode":"loud"}"#, 422);
    check(TOKEN, "/api/v1/mode", "not json", 422);
    check(
        TOKEN,
        "/api/v1/limit",
        r#"{"direction":"import","power_kw":3,"until":"18:00","source":"utility"}"#,
        200,
    );
    check(
        TOKEN,
        "/api/v1/end-limit",
        r#"{"direction":"import","source":"utility"}"#,
        200,
    );
    check(
        TOKEN,
        "/api/v1/end-limit",
        r#"{"direction":"import","source":"site"}"#,
        422,
    );
    check(
        TOKEN,
        "/api/v1/limit",
        r#"{"direction":"import","power_kw":3,"for_minutes":1e300}"#,
        200,
    );
    check(
        TOKEN,
        "/api/v1/limit",
        r#"{"direction":"import","power_kw":3,"for_minutes":60}"#,
        200,
    );
    check(TOKEN, "/api/v1/limit", r#"{"direction":"import","power_kw":3}"#, 422);
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"battery","value":"-2 kW","for_minutes":30}"#,
        200,
    );
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"battery","value":"2 A","for_minutes":30}"#,
        422,
    );
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"moon","value":"2 kW","for_minutes":30}"#,
        422,
    );
    check(
        TOKEN,
        "/api/v1/ev",
        r#"{"component":"ev","mode":"fast","colour":"red"}"#,
        422,
    );
    let large = format!(r#"{{"mode":"{}"}}"#, "x".repeat(20_000));
    check(TOKEN, "/api/v1/mode", &large, 413);
}

#[test]
fn a_wrong_word_is_answered_as_a_person_would() {
    let server = published();
    let error = |path: &str, body: &str| {
        let (status, answer) = post(server.port, path, TOKEN, body);
        assert_eq!(status, 422, "{body}");
        answer["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        error("/api/v1/mode", r#"{"mode":"contrl"}"#),
        "`contrl` is not a mode; did you mean `control`?"
    );
    assert_eq!(
        error("/api/v1/limit", r#"{"direction":"imprt","power_kw":3,"for_minutes":5}"#),
        "`imprt` is not a direction; did you mean `import`?"
    );
    assert_eq!(
        error(
            "/api/v1/override",
            r#"{"component":"batery","value":"off","for_minutes":5}"#
        ),
        "there is no component `batery`; did you mean `battery`?"
    );
    for text in [
        error("/api/v1/mode", r#"{"mode":3}"#),
        error("/api/v1/ev", r#"{"component":"ev","departure":"7.30"}"#),
    ] {
        assert!(!text.contains("column") && !text.contains("variant"), "{text}");
    }
}

#[test]
fn a_time_of_day_is_that_of_the_sites_own_clock() {
    let server = published();
    // the day of the report ends at 22:00 UTC, midnight in Amsterdam
    let body = r#"{"component":"ev","departure":"07:30"}"#;
    let (status, answer) = post(server.port, "/api/v1/ev", TOKEN, body);
    assert_eq!(status, 200, "{answer}");
    let said = answer["done"].as_str().unwrap();
    assert!(said.contains("2026-05-13T05:30:00Z"), "{said}");
}

#[test]
fn the_loops_answer_reaches_the_person() {
    let server = server(Some(|_| Err(NotDone::Refused("no car is plugged in".to_owned()))));
    server.hub.publish(&day().1);
    let (status, answer) = post(server.port, "/api/v1/ev", TOKEN, r#"{"component":"ev","mode":"fast"}"#);
    assert_eq!((status, answer["error"].as_str()), (422, Some("no car is plugged in")));
}

#[test]
fn a_loop_that_does_not_answer_is_not_waited_for() {
    let server = server(None);
    server.hub.publish(&day().1);
    let (status, _) = post(server.port, "/api/v1/release", TOKEN, "{}");
    assert_eq!(status, 504);
}

#[test]
fn a_listener_hears_each_cycle_and_each_new_plan() {
    let server = published();
    let mut reader = listen(server.port);
    let mut heard = Vec::new();
    for _ in 0..3 {
        server.hub.publish(&day().1);
        heard.push(next_event(&mut reader));
        if heard.len() == 1 {
            heard.push(next_event(&mut reader));
        }
    }
    assert_eq!(heard, ["now", "plan", "now", "now"]);
}

#[test]
fn a_page_of_another_origin_gets_nothing() {
    let server = published();
    let status = |path: &str, more: &str| http(server.port, "GET", path, more, "").unwrap().0;
    let foreign = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    for (path, more, expected) in [
        ("/api/v1/live", foreign, 403),
        ("/api/v1/now", foreign, 403),
        ("/metrics", "Origin: http://evil.example\r\n", 403),
        ("/api/v1/now", "Sec-Fetch-Site: same-site\r\n", 403),
        ("/api/v1/live", link, 403),
        ("/", link, 200),
        ("/api/v1/now", "Sec-Fetch-Site: same-origin\r\n", 200),
        ("/api/v1/now", "", 200),
    ] {
        assert_eq!(status(path, more), expected, "{path} {more}");
    }
    let headers = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://evil.example\r\n");
    assert_eq!(
        http(server.port, "POST", "/api/v1/release", &headers, "{}").unwrap().0,
        403
    );
}

#[test]
fn wrong_tokens_are_slowed_down_and_the_right_one_always_passes() {
    let server = published();
    let statuses: Vec<u16> = (0..30)
        .map(|i| post(server.port, "/api/v1/release", &format!("{i:032x}"), "{}").0)
        .collect();
    assert_eq!(&statuses[..10], [401; 10]);
    assert_eq!(&statuses[10..], [429; 20]);
    assert_eq!(post(server.port, "/api/v1/release", TOKEN, "{}").0, 200);
}

#[test]
fn odd_questions_are_answered_with_what_is_wrong() {
    let server = published();
    let check = |path: &str, expected: u16| {
        let (status, body) = http(server.port, "GET", path, "", "").unwrap_or_else(|| panic!("{path}: cut off"));
        let told: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
        assert_eq!(status, expected, "{path}: {body}");
        assert!(expected == 200 || told["error"].is_string(), "{path}: {body}");
    };
    let history = |more: &str| format!("/api/v1/history?series=a{more}");
    check(&history(""), 200);
    for step in ["9223372036854775807", "9223372036854775", "0", "-1"] {
        check(&history(&format!("&step_s={step}")), 422);
    }
    check(&history("&step_s=9223372036854775808"), 400);
    check(&history("&step_s=x"), 400);
    check(
        &history("&from=-262143-01-01T00:00:00Z&to=%2B262142-01-01T00:00:00Z"),
        422,
    );
    check("/api/v1/history", 400);
    check(&format!("/api/v1/history?series={}", ["a"; 65].join(",")), 422);
    check("/api/v1/why", 400);
    check("/api/v1/why?component=moon", 404);
    check("/api/v1/why?component=battery&at=9999-01-01T00:00:00Z", 422);
    check("/api/v1/why?component=battery&at=x", 400);
    check("/api/v1/nothing", 404);
}

/// Every word of an enumeration is taken, and no other.
#[test]
fn the_document_lists_the_words_that_are_taken() {
    let server = published();
    let document: Value = serde_json::from_str(&get(server.port, "/api/v1/openapi.json").unwrap()).unwrap();
    let body =
        |path: &str| document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    for (path, key, rest) in [
        ("/api/v1/mode", "mode", json!({})),
        ("/api/v1/limit", "direction", json!({"power_kw": 3, "for_minutes": 1})),
        ("/api/v1/ev", "mode", json!({"component": "ev"})),
    ] {
        let words = body(path)["properties"][key]["enum"]
            .as_array()
            .unwrap_or_else(|| panic!("{path}: {}", body(path)))
            .clone();
        assert!(words.len() >= 2, "{path}");
        for (word, expected) in words.iter().map(|w| (w.clone(), 200)).chain([(json!("loud"), 422)]) {
            let mut said = rest.clone();
            said[key] = word;
            assert_eq!(
                post(server.port, path, TOKEN, &said.to_string()).0,
                expected,
                "{path} {said}"
            );
        }
    }
}

#[test]
fn bodies_that_are_not_what_is_expected_are_refused() {
    let server = published();
    let check = |path: &str, body: Value, expected: u16| {
        let (status, answer) = post(server.port, path, TOKEN, &body.to_string());
        assert_eq!(status, expected, "{path} {body}: {answer}");
    };
    let limit = |kw: f64| json!({"direction": "import", "power_kw": kw, "for_minutes": 5});
    check("/api/v1/limit", limit(3.0), 200);
    check("/api/v1/limit", limit(1e308), 422);
    check("/api/v1/limit", limit(-1.0), 422);
    check("/api/v1/mode", json!(["control"]), 422);
    for (body, expected) in [
        ("", 200),
        ("{}", 200),
        (" {} ", 200),
        ("[]", 422),
        ("null", 422),
        ("{\"a\":1}", 422),
        ("x", 422),
    ] {
        assert_eq!(post(server.port, "/api/v1/release", TOKEN, body).0, expected, "{body}");
    }
}

#[test]
fn what_was_decided_then_is_told_of_then() {
    let server = server(None);
    let mut report = day().1.clone();
    let later = |report: &mut CycleReport, minutes: i64, code: ReasonCode| {
        let mut snapshot = (*report.snapshot).clone();
        snapshot.at += TimeDelta::minutes(minutes);
        let mut setpoints = (*report.setpoints).clone();
        setpoints.iter_mut().for_each(|s| s.reason = Reason::new(code));
        (report.snapshot, report.setpoints) = (Arc::new(snapshot), Arc::new(setpoints));
        server.hub.publish(report);
        report.snapshot.at
    };
    let first = later(&mut report, 0, ReasonCode::HoldForLater);
    let second = later(&mut report, 30, ReasonCode::CoverLoad);
    later(&mut report, 30, ReasonCode::CoverLoad);
    let told = |at: Timestamp| {
        let path = format!("/api/v1/decisions?at={}", at.format("%Y-%m-%dT%H:%M:%SZ"));
        let (status, body) = http(server.port, "GET", &path, "", "").unwrap();
        let list: Value = serde_json::from_str(&body).unwrap();
        (
            status,
            list[0]["reason"]["code"].as_str().map(str::to_owned),
            list[0]["since"].clone(),
        )
    };
    for minutes in [0, 10, 29] {
        let (status, code, since) = told(first + TimeDelta::minutes(minutes));
        assert_eq!((status, code.as_deref()), (200, Some("hold_for_later")), "{minutes}");
        assert_eq!(since, json!(first), "{minutes}");
    }
    let (status, code, since) = told(second + TimeDelta::minutes(29));
    assert_eq!(
        (status, code.as_deref(), since),
        (200, Some("cover_load"), json!(second))
    );
    assert_eq!(told(first - TimeDelta::minutes(1)).0, 404);
    assert_eq!(told(second + TimeDelta::hours(2)).0, 404, "that is still to come");
}

#[test]
fn what_was_decided_before_this_process_is_told_from_the_journal() {
    let server = published();
    let then = day().1.snapshot.at - TimeDelta::days(2);
    let path = |at: Timestamp| format!("/api/v1/decisions?at={}", at.format("%Y-%m-%dT%H:%M:%SZ"));
    let (status, body) = http(server.port, "GET", &path(then), "", "").unwrap();
    let list: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    let told = &list[0];
    assert_eq!(
        (&told["component"], &told["target"], &told["reason"]["code"]),
        (&json!("battery"), &json!({"power_kw": 2.0}), &json!("store_surplus"))
    );
    assert_eq!(
        (told["en"].as_str().unwrap(), told["ko"].as_str().unwrap()),
        (
            "Battery: stored surplus is worth more later than selling it now.",
            "배터리: 남는 전력은 지금 파는 것보다 저장하는 것이 유리합니다."
        )
    );
    for (hours, why) in [(-12, "not kept"), (1, "still to come")] {
        let at = day().1.snapshot.at + TimeDelta::hours(hours);
        let (status, body) = http(server.port, "GET", &path(at), "", "").unwrap();
        assert_eq!(status, 404, "{why}: {body}");
    }
}

#[test]
fn the_badge_of_an_override_goes_when_the_override_ends() {
    let server = published();
    let at = day().1.snapshot.at;
    // mode, rung, minutes left of the override; shown, in force
    let rows = [
        (Mode::Control, Rung::Normal, Some(30), Some(true)),
        (Mode::Observe, Rung::Normal, Some(30), Some(false)),
        (Mode::Observe, Rung::Released, Some(30), None),
        (Mode::Control, Rung::Normal, Some(0), None),
        (Mode::Control, Rung::Normal, None, None),
    ];
    for (mode, rung, left, shown) in rows {
        let mut report = day().1.clone();
        let mut state = (*report.state).clone();
        (state.mode, state.rung) = (mode, rung);
        let told = |minutes| Override {
            target: Target::Power(Power::kw(3.0)),
            until: at + TimeDelta::minutes(minutes),
        };
        state.overrides = left
            .map(|minutes| (Id::new("battery"), told(minutes)))
            .into_iter()
            .collect();
        report.state = Arc::new(state);
        server.hub.publish(&report);
        let now: Value = serde_json::from_str(&get(server.port, "/api/v1/now").unwrap()).unwrap();
        let all = now["components"].as_array().unwrap();
        let battery = all.iter().find(|c| c["id"] == "battery").unwrap();
        let got = battery["override"]["in_force"].as_bool();
        assert_eq!(got, shown, "{mode:?} {rung:?} {left:?}: {}", battery["override"]);
    }
}
