//! How a link is shared: setpoints first, silent units apart, idle connections, refused registers, TLS.

use crate::support::papers::Papers;
use crate::support::{self, eastron};
use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Client, Dial, Field, Options, WireError};
use madang::model::{DecisionId, Quantity, Reason, ReasonCode, Setpoint, Target};
use madang::profile::Table;
use madang::site::{Address, Id, Mode, Site, TlsFiles, builtin};
use madang::time::Timestamp;
use madang::units::Power;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls;

/// A gateway with several units behind it; registers hold zeros but for the heat pump's identity.
#[derive(Default)]
struct Gateway {
    dead: BTreeSet<u8>,
    /// Registers that are refused with exception 2.
    holes: BTreeSet<u16>,
    slow: Duration,
    /// Closes after each answer, as devices do with idle connections.
    closes: bool,
    /// (unit, function) of each request, in order.
    seen: Mutex<Vec<(u8, u8)>>,
    connections: Mutex<u32>,
}

impl Gateway {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, mut stream: S) -> std::io::Result<()> {
        *self.connections.lock().unwrap() += 1;
        loop {
            let mut head = [0u8; 7];
            stream.read_exact(&mut head).await?;
            let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
            stream.read_exact(&mut pdu).await?;
            self.seen.lock().unwrap().push((head[6], pdu[0]));
            if self.dead.contains(&head[6]) {
                continue;
            }
            tokio::time::sleep(self.slow).await;
            let answer = self.answer(&pdu);
            let mut frame = vec![head[0], head[1], 0, 0];
            frame.extend((answer.len() as u16 + 1).to_be_bytes());
            frame.push(head[6]);
            frame.extend(answer);
            stream.write_all(&frame).await?;
            if self.closes {
                return Ok(());
            }
        }
    }

    fn answer(&self, pdu: &[u8]) -> Vec<u8> {
        let (addr, count) = (
            u16::from_be_bytes([pdu[1], pdu[2]]),
            u16::from_be_bytes([pdu[3], pdu[4]]),
        );
        if !matches!(pdu[0], 3 | 4) {
            return pdu[..5].to_vec();
        }
        if self.holes.range(addr..addr + count).next().is_some() {
            return vec![pdu[0] | 0x80, 2];
        }
        let mut answer = vec![pdu[0], (count * 2) as u8];
        let text = b"MADANG-HEATPUMP\0";
        for register in addr..addr + count {
            let at = usize::from(register.wrapping_sub(90)) * 2;
            answer.extend(text.get(at..at + 2).unwrap_or(&[0, 0]));
        }
        answer
    }

    async fn listen(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gateway = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The other side going away ends one connection only.
                tokio::spawn(gateway.clone().serve(stream));
            }
        });
        port
    }

    fn asked(&self, unit: u8) -> usize {
        self.seen.lock().unwrap().iter().filter(|(u, _)| *u == unit).count()
    }
}

/// The shipped home with its meter (unit 1) and heat pump (unit 2) behind one gateway.
fn site_of(port: u16, devices: &[(&str, &str, u8)]) -> Site {
    let mut site = builtin("home-amsterdam").unwrap();
    site.plant.mode = Mode::Control;
    site.wiring
        .devices
        .retain(|id, _| devices.iter().any(|(name, ..)| *name == id.as_str()));
    for (name, profile, unit) in devices {
        let d = site.wiring.devices.get_mut(*name).unwrap();
        d.address = Address::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
        d.profile = (*profile).into();
        d.unit = *unit;
        d.identity_confirmed = true;
        d.control = true;
    }
    site
}

fn at(seconds: i32) -> Timestamp {
    let start: Timestamp = "2026-05-12T00:00:00Z".parse().unwrap();
    start + TimeDelta::seconds(i64::from(seconds))
}

fn field(site: &Site, patience: Duration) -> Field {
    let options = Options {
        patience,
        silent_after: TimeDelta::seconds(2),
    };
    Field::new(site, &Dial::Sockets, options).unwrap()
}

fn client(address: &str) -> Client {
    let link = madang::profile::builtin("eastron-sdm630").unwrap().link;
    Client::new(Dial::Sockets, Id::new("device"), Address::parse(address).unwrap(), link)
}

const METER: (&str, &str, u8) = ("meter", "eastron-sdm630", 1);
const PUMP: (&str, &str, u8) = ("heat-pump", "generic-heat-pump", 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_unit_starves_nobody_on_its_line_and_is_asked_less_and_less() {
    let gateway = Arc::new(Gateway {
        dead: BTreeSet::from([2]),
        ..Gateway::default()
    });
    let mut field = field(
        &site_of(gateway.listen().await, &[METER, PUMP]),
        Duration::from_millis(60),
    );
    let mut fresh = 0;
    for cycle in 0..80 {
        let scan = field.scan(at(cycle)).await;
        let power = |m: &&madang::model::Measurement| {
            m.quantity == Quantity::ActivePower && m.component.as_str() == "grid" && m.reading.at() == at(cycle)
        };
        fresh += usize::from(scan.measurements.iter().any(|m| power(&m)));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let dead = gateway.asked(2);
    println!(
        "{fresh} fresh cycles of 80; the dead unit was asked {dead} times, the live one {}",
        gateway.asked(1)
    );
    // About 8 s: two tries of a second, then after 1, 2, 4 s.
    assert!((2..=7).contains(&dead), "{dead} requests for a dead unit");
    assert!(fresh >= 30, "{fresh} fresh cycles of 80");
    assert_eq!(
        *gateway.connections.lock().unwrap(),
        1,
        "a dead unit is no reason to reconnect"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setpoint_goes_before_every_read_that_is_not_yet_under_way() {
    let gateway = Arc::new(Gateway {
        slow: Duration::from_millis(150),
        ..Gateway::default()
    });
    let site = site_of(gateway.listen().await, &[METER, PUMP]);
    let mut field = field(&site, Duration::from_millis(2_000));
    field.scan(at(0)).await;
    // The next poll is under way and will take several requests when the setpoint comes.
    let impatient = async {
        tokio::time::timeout(Duration::from_millis(50), field.scan(at(61)))
            .await
            .ok();
    };
    impatient.await;
    let before = gateway.seen.lock().unwrap().len();
    let setpoint = Setpoint {
        component: Id::new("heat-pump"),
        target: Target::Power(Power::kw(1.5)),
        valid_until: at(180),
        reason: Reason::new(ReasonCode::FollowPlan),
        decision: DecisionId(1),
    };
    field.apply(at(61), &[setpoint]).await;
    let seen = gateway.seen.lock().unwrap().clone();
    let after: Vec<_> = seen[before..].to_vec();
    // Each request of the order (its look at what is in force, too) waits for one read of the meter at most.
    let written = after.iter().position(|(_, function)| *function == 16);
    let written = written.unwrap_or_else(|| panic!("never written: {after:?}"));
    let waits = after[..written].split(|(unit, _)| *unit == 2).map(<[_]>::len).max();
    println!("after the order: {after:?}");
    assert!(waits <= Some(1), "{after:?}");
}

#[tokio::test]
async fn a_device_that_closes_idle_connections_is_read_as_if_it_did_not() {
    let gateway = Arc::new(Gateway {
        closes: true,
        ..Gateway::default()
    });
    let mut client = client(&format!("tcp://127.0.0.1:{}", gateway.listen().await));
    for _ in 0..4 {
        client.read(1, Table::Input, 0, 2).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((client.requests, client.failures), (4, 0));
    assert_eq!(*gateway.connections.lock().unwrap(), 4);
}

#[tokio::test]
async fn one_refused_register_costs_its_point_and_not_its_block() {
    let gateway = Arc::new(Gateway {
        holes: BTreeSet::from([30, 31]),
        ..Gateway::default()
    });
    let mut field = field(&site_of(gateway.listen().await, &[METER]), Duration::from_millis(2_000));
    let scan = field.scan(at(0)).await;
    let fresh = scan
        .measurements
        .iter()
        .filter(|m| m.reading.usable().is_some())
        .count();
    let health = &scan.devices[0];
    assert!(
        health.online && fresh > 0 && health.link.unreadable <= 2,
        "{fresh} values, {health:?}"
    );
    let first = gateway.asked(1);
    field.scan(at(1)).await;
    let second = gateway.asked(1) - first;
    println!("{first} requests to find the hole, then {second}; {:?}", health.trouble);
    assert!(
        second < 8 && second < first,
        "the cut is remembered: {first}, then {second}"
    );
}

#[tokio::test]
async fn a_host_that_takes_no_connection_or_swallows_it_fails_in_time() {
    let mut refused = client(&format!("tcp://127.0.0.1:{}", support::free_port()));
    let begun = std::time::Instant::now();
    let found = refused.read(1, Table::Input, 0, 2).await;
    assert!(matches!(found, Err(WireError::Unreachable(_))), "{found:?}");
    // A listener whose queue is full swallows what comes.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _full: Vec<_> = (0..4)
        .filter_map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok())
        .collect();
    let mut hole = client(&format!("tcp://{address}"));
    let found = hole.read(1, Table::Input, 0, 2).await;
    assert!(
        matches!(found, Err(WireError::Unreachable(_) | WireError::Timeout(_))),
        "{found:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(8));
}

async fn secure_gateway(config: rustls::ServerConfig) -> u16 {
    let gateway = Arc::new(Gateway::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
            tokio::spawn(async move {
                // A client without the right papers ends here.
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _gone = gateway.serve(stream).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn over_tls_both_sides_prove_who_they_are() {
    let papers = Papers::new();
    let link = madang::profile::builtin("eastron-sdm630").unwrap().link;
    let ask = async |port: u16, files: TlsFiles| {
        let address = Address::parse(&format!("tls://127.0.0.1:{port}"))
            .unwrap()
            .with_tls(files);
        let mut client = Client::new(Dial::Sockets, Id::new("device"), address, link.clone());
        client.read(1, Table::Input, 0, 4).await
    };
    let port = secure_gateway(papers.server(false)).await;
    let me = || papers.files("me", "localhost");
    assert_eq!(ask(port, me()).await, Ok(vec![0; 4]));
    for who in ["stranger", "expired"] {
        let found = ask(port, papers.files(who, "localhost")).await;
        assert!(found.is_err(), "a client whose papers are {who}: {found:?}");
    }
    let expired = secure_gateway(papers.server(true)).await;
    let untrusted = secure_gateway(Papers::new().server(false)).await;
    for (port, name, why) in [
        (port, "otherhost", "not valid for name"),
        (expired, "localhost", "expired"),
        (untrusted, "localhost", "invalid peer certificate"),
    ] {
        let found = ask(port, papers.files("me", name)).await.unwrap_err().to_string();
        assert!(found.contains("TLS") && found.contains(why), "{why}: {found}");
    }
    let mut none = me();
    none.key = Some(papers.folder().join("nothing.key"));
    let missing = ask(port, none).await.unwrap_err().to_string();
    assert!(missing.contains("nothing.key"), "{missing}");
    let mut swapped = me();
    swapped.key = Some(papers.folder().join("me.pem"));
    let swapped = ask(port, swapped).await.unwrap_err().to_string();
    assert!(swapped.contains("me.pem") && !swapped.contains("BEGIN"), "{swapped}");
}

#[test]
fn a_foreign_device_behind_tls_is_found_and_read_and_lets_nobody_in_without_papers() {
    let Some(python) = support::python() else { return };
    let (papers, port) = (Papers::new(), support::free_port());
    let way = ["tls".as_ref(), papers.folder().as_os_str(), port.to_string().as_ref()].map(OsStr::to_owned);
    let _meter = eastron::serve(&python, &way);
    let address = format!("tls://127.0.0.1:{port}");
    let as_whom = |who: &str, what: &[&str]| {
        let mut madang = Command::new(env!("CARGO_BIN_EXE_madang"));
        madang
            .args([what[0], &address])
            .args(&what[1..])
            .args(["--server-name", "localhost"]);
        for (flag, file) in [
            ("--ca", "ca.pem"),
            ("--cert", &format!("{who}.pem")),
            ("--key", &format!("{who}.key")),
        ] {
            madang.arg(flag).arg(papers.folder().join(file));
        }
        madang.output().unwrap()
    };
    let madang = |what: &[&str]| as_whom("me", what);
    eastron::is_read(madang);
    let refused = as_whom("stranger", &["read", "--profile", "eastron-sdm630"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(3) && why.lines().count() == 1,
        "{:?} {why}",
        refused.status
    );
    let fragment = eastron::is_found(madang, "1");
    assert!(
        fragment.contains("tls = { ca = ") && fragment.contains("me.key"),
        "{fragment}"
    );
}

/// Timer of the established connection to a port (`/proc/net/tcp`): its kind and how long it still runs, s.
#[cfg(target_os = "linux")]
fn timer_of(port: u16) -> (String, f64) {
    let peer = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let mut rows = row.filter(|f| f.get(2) == Some(&peer.as_str()) && f[3] == "01");
    let row = rows.next().unwrap();
    let (kind, left) = row[5].split_once(':').unwrap();
    (
        kind.to_owned(),
        f64::from(u32::from_str_radix(left, 16).unwrap()) / 100.0,
    )
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_quiet_connection_is_kept_alive_by_probes_within_fifteen_seconds() {
    let gateway = Arc::new(Gateway::default());
    let port = gateway.listen().await;
    let mut client = client(&format!("tcp://127.0.0.1:{port}"));
    client.read(1, Table::Input, 0, 2).await.unwrap();
    // The acknowledgement of the answer may still be on its way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (kind, left) = timer_of(port);
    assert_eq!(kind, "02", "no keep-alive timer");
    assert!(left > 5.0 && left <= 15.0, "{left} s to the first probe");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_away_for_an_hour_is_read_within_a_minute_of_its_return() {
    let there = Arc::new(AtomicBool::new(true));
    let seen = there.clone();
    let dial = Dial::Pipes(Arc::new(move |_| {
        if !seen.load(Ordering::SeqCst) {
            return Err("connection refused".into());
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(Arc::new(Gateway::default()).serve(theirs));
        Ok(Box::new(ours))
    }));
    for n in 0..20 {
        there.store(false, Ordering::SeqCst);
        let link = madang::profile::builtin("eastron-sdm630").unwrap().link;
        let address = Address::parse(&format!("tcp://10.0.0.{n}:502")).unwrap();
        let mut client = Client::new(dial.clone(), Id::new("device"), address, link);
        let away = tokio::time::Instant::now();
        while away.elapsed() < Duration::from_secs(3_600) {
            assert!(client.read(1, Table::Input, 0, 2).await.is_err());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        there.store(true, Ordering::SeqCst);
        let back = tokio::time::Instant::now();
        while client.read(1, Table::Input, 0, 2).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(back.elapsed() <= Duration::from_secs(60), "{n}: {:?}", back.elapsed());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    for what in [
        ["devices"].as_slice(),
        &["read", "--help"],
        &["devices", "--json"],
        &["schema", "site"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut madang = Command::new(env!("CARGO_BIN_EXE_madang"));
        let out = madang
            .args(what)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.success() && said.is_empty(),
            "{what:?}: {:?} {said}",
            out.status
        );
    }
}
