//! What clients may take of the page: connections, time, streams, solves. All of it ends, and who asks is served.

use crate::support::server::{LIVE, OWN_LIVE, TOKEN, day, listen_as, next_event, published, server_of};
use crate::support::{eventually, get, http};
use madang::web::CONNECTIONS_MAX;
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Opens connections that say `first` and then nothing.
fn opened(port: u16, count: usize, first: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        // A full server closes what waits longest, this one perhaps.
        let _closed = stream.write_all(first.as_bytes());
        stream
    };
    (0..count).map(open).collect()
}

/// Connections the server still holds; what it sent is read away.
fn still_open(streams: &mut [TcpStream]) -> usize {
    let is_open = |stream: &mut TcpStream| {
        let mut bytes = [0; 65536];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) => return matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    };
    streams.iter_mut().map(is_open).filter(|open| *open).count()
}

#[test]
fn a_full_server_closes_who_lets_it_wait_and_serves_who_asks() {
    let server = server_of(None, 32);
    server.hub.publish(&day().1);
    let half = "GET /api/v1/now HTTP/1.1\r\nHost: localhost\r\nX-a: b\r\n";
    for first in [
        "",
        half,
        "POST /api/v1/mode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000\r\n\r\n",
    ] {
        let mut idle = opened(server.port, 300, first);
        let asked = Instant::now();
        assert!(get(server.port, "/api/v1/now").is_some(), "{first}");
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{first}: {:?}",
            asked.elapsed()
        );
        let held = still_open(&mut idle);
        assert!(held <= 32, "{first}: {held} of 300 are held");
    }
}

#[test]
fn a_head_that_does_not_end_is_waited_for_five_seconds() {
    let server = published();
    let mut slow = opened(server.port, 20, "GET /api/v1/now HTTP/1.1\r\nHost: localhost\r\n");
    let mut silent = opened(server.port, 20, "");
    let mut kept = opened(server.port, 1, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for second in 0..8 {
        for stream in &mut slow {
            let _closed = stream.write_all(b"X-a: b\r\n");
        }
        if second == 3 {
            assert_eq!((still_open(&mut slow), still_open(&mut silent)), (20, 20));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((still_open(&mut slow), still_open(&mut silent)), (0, 0));
    assert_eq!(
        still_open(&mut kept),
        1,
        "between two requests it may rest for a minute"
    );
}

#[test]
fn a_body_is_waited_for_ten_seconds_and_only_with_the_token() {
    let server = published();
    let head = |token: &str| {
        format!(
            "POST /api/v1/mode HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{"
        )
    };
    let status = |token: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head(token).as_bytes()).unwrap();
        let begun = Instant::now();
        let line = BufReader::new(stream).lines().next().unwrap().unwrap();
        (line[9..12].to_owned(), begun.elapsed().as_secs())
    };
    assert_eq!(status("wrong"), ("401".to_owned(), 0));
    let (slow, after) = status(TOKEN);
    assert_eq!(slow, "408");
    assert!((9..15).contains(&after), "{after} s");
}

#[test]
fn streams_nobody_reads_give_way_and_the_own_page_keeps_its_own() {
    let server = published();
    let mut page = listen_as(server.port, OWN_LIVE);
    let mut others = opened(server.port, 200, LIVE);
    // Far more than all their buffers hold.
    for _ in 0..500 {
        server.hub.publish(&day().1);
    }
    assert!(get(server.port, "/api/v1/now").is_some());
    server.hub.publish(&day().1);
    assert_eq!(next_event(&mut page), "now");
    eventually("the surplus is closed", Duration::from_secs(20), || {
        (still_open(&mut others) < CONNECTIONS_MAX / 4).then_some(())
    });
    // One more page is served, not refused.
    let mut second = listen_as(server.port, OWN_LIVE);
    server.hub.publish(&day().1);
    assert_eq!(next_event(&mut second), "now");
}

#[test]
fn alternatives_are_solved_once_and_not_all_at_a_time() {
    let server = published();
    let plan: Value = serde_json::from_str(&get(server.port, "/api/v1/plan").unwrap()).unwrap();
    let starts: Vec<&str> = plan["start"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    let ask = |i: usize| {
        let path = format!(
            "/api/v1/why?component=battery&at={}",
            starts[i % starts.len()].replace('+', "%2B")
        );
        http(server.port, "GET", &path, "", "").unwrap()
    };
    let many = |range: std::ops::Range<usize>| -> Vec<(u16, String)> {
        std::thread::scope(|s| {
            let asking: Vec<_> = range.map(|i| s.spawn(move || ask(i))).collect();
            asking.into_iter().map(|a| a.join().unwrap()).collect()
        })
    };
    let first = ask(0);
    assert_eq!(first.0, 200);
    // Each in an interval of its own: what is too much is refused, the rest is told.
    let answers = many(1..starts.len());
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(
        answers.iter().all(|(status, _)| matches!(status, 200 | 503)) && served >= 40,
        "{served}"
    );
    // All of the same interval: known.
    let again = std::thread::scope(|s| {
        let asking: Vec<_> = (0..150).map(|_| s.spawn(|| ask(0))).collect();
        asking.into_iter().map(|a| a.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(again.iter().all(|answer| *answer == first));
}
