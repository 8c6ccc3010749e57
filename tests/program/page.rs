//! The page in a real browser: what it shows, in both languages, on desktop and phone widths, without a script error.

use crate::support::korean::english_in;
use crate::support::{Process, eventually, free_port, get, program, python};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn demo(site: &str, more: &[&str]) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    command
        .args(["demo", "--site", site, "--port", &port.to_string()])
        .args(more);
    let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("the demo has a plan", Duration::from_secs(240), || {
        get(port, "/api/v1/plan")
    });
    eventually("the demo has a past", Duration::from_secs(60), || {
        get(port, "/api/v1/history?series=grid.active_power_watts.grid").filter(|past| past.contains("[["))
    });
    (process, port)
}

/// What the browser shows once `wanted` is there.
fn show(browser: &Path, python: &Path, url: &str, width: u32, wanted: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/page.py");
    let out = Command::new(python)
        .arg(script)
        .arg(browser)
        .args([url, &width.to_string(), "900", wanted, "-"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn the_page_shows_the_site_in_both_languages_on_both_widths_without_an_error() {
    let (Some(browser), Some(python)) = (program("chromium"), python()) else {
        return;
    };
    for (site, names) in [
        (
            "home-amsterdam",
            [
                ("en", "Home in Amsterdam", "Battery"),
                ("ko", "암스테르담 주택", "배터리"),
            ],
        ),
        (
            "apartment-seoul",
            [("en", "Apartment", "Battery"), ("ko", "아파트", "배터리")],
        ),
    ] {
        let (_demo, port) = demo(site, &[]);
        for (language, title, battery) in names {
            for width in [1440, 390] {
                let url = format!("http://127.0.0.1:{port}/?lang={language}");
                let page = show(&browser, &python, &url, width, battery);
                let text = page["text"].as_str().unwrap();
                assert!(
                    text.contains(title) && text.contains(battery),
                    "{site} {language} {width}: {text}"
                );
                assert_eq!(page["errors"], serde_json::json!([]), "{site} {language} {width}");
                assert_eq!(page["wider_than_screen"], false, "{site} {language} {width}");
                for what in ["prices", "actual"] {
                    let drawn = page["drawn"][what].as_u64();
                    assert!(drawn > Some(0), "{site} {language} {width}: nothing is drawn of {what}");
                }
                of_the_past(&page, language, &format!("{site} {language} {width}"));
            }
        }
    }
}

/// The cursor half way between midnight and now: the time there (a pixel of a phone is five minutes), and what was decided then.
fn of_the_past(page: &Value, language: &str, label: &str) {
    let past = |part: &str| page["past"][part].as_str().unwrap_or_default().to_owned();
    let then = if language == "ko" {
        "당시 결정"
    } else {
        "decided then"
    };
    assert!(past("text").contains(then), "{label}: {}", page["past"]);
    assert!(!past("reasons").is_empty(), "{label}: {}", page["past"]);
    let minutes = |clock: &str| -> i32 {
        let (hour, minute) = clock
            .split_once(':')
            .unwrap_or_else(|| panic!("{label}: `{clock}` is no time"));
        hour.parse::<i32>().unwrap() * 60 + minute.parse::<i32>().unwrap()
    };
    let text = page["text"].as_str().unwrap();
    let now = text
        .split_whitespace()
        .find(|word| word.len() == 5 && word.as_bytes()[2] == b':')
        .unwrap();
    let (pointed, half) = (minutes(&past("moment")), minutes(now) / 2);
    assert!(
        (pointed - half).abs() <= 8,
        "{label}: {pointed} min of the day under the cursor, half of {now} expected"
    );
}

#[test]
fn the_page_shows_which_link_suffers_and_how_on_a_phone_too() {
    let (Some(browser), Some(python)) = (program("chromium"), python()) else {
        return;
    };
    // The inverter is silent for moments, which is said as well; the charger is always there.
    let faults = ["--fault", "ev:slow=300ms", "--fault", "battery:drop=20%"];
    let (_demo, port) = demo("home-amsterdam", &faults);
    for (language, slow, loses) in [
        ("en", "link slow, ", "link loses "),
        ("ko", "통신 느림, ", "통신 손실 "),
    ] {
        for (width, wanted) in [(1440, loses), (390, slow)] {
            let url = format!("http://127.0.0.1:{port}/?lang={language}");
            let page = show(&browser, &python, &url, width, wanted);
            let text = page["text"].as_str().unwrap();
            // One inverter feeds two components; the links of meter and heat pump are well.
            for (sign, times) in [(slow, 1), (loses, 2)] {
                assert_eq!(text.matches(sign).count(), times, "{language} {width} `{sign}`: {text}");
            }
            assert_eq!(page["errors"], serde_json::json!([]), "{language} {width}");
            assert_eq!(page["wider_than_screen"], false, "{language} {width}");
        }
    }
}

#[test]
fn the_korean_page_speaks_korean_whatever_fails() {
    let (Some(browser), Some(python)) = (program("chromium"), python()) else {
        return;
    };
    // Names that have no other, and what leads out of the page.
    let names = [
        "openapi",
        "metrics",
        "home-amsterdam",
        "heat-pump",
        "inverter",
        "charger",
        "meter",
    ];
    for faults in [
        ["heat-pump:dead", "battery:foreign=10min"],
        ["all:exception=10%", "all:spike=10%"],
    ] {
        let (_demo, port) = demo("home-amsterdam", &["--fault", faults[0], "--fault", faults[1]]);
        // Long enough for alarms that wait until something lasts.
        std::thread::sleep(Duration::from_secs(20));
        let page = show(
            &browser,
            &python,
            &format!("http://127.0.0.1:{port}/?lang=ko"),
            1280,
            "배터리",
        );
        let text = page["text"].as_str().unwrap();
        assert_eq!(english_in(text, &names), None, "{faults:?}: {text}");
        assert!(!text.contains(['{', '}']), "{faults:?}: {text}");
    }
}
