//! How a link is shared: setpoints first, silent units apart, idle connections, refused registers, TLS.

mod support;

use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Client, Dial, Field, Options, WireError};
use madang::model::{DecisionId, Quantity, Reason, ReasonCode, Setpoint, Target};
use madang::profile::Table;
use madang::site::{Address, Id, Mode, Site, TlsFiles, builtin};
use madang::time::Timestamp;
use madang::units::Power;
use std::collections::BTreeSet;
use std::path::Path;
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

/// An authority, and what it signed for a server and for us.
struct Papers {
    folder: tempfile::TempDir,
    server: rustls::ServerConfig,
}

fn papers() -> Papers {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    put("ca.pem", &authority.pem());
    let signed = |names: &[&str]| {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let (ours, our_key) = signed(&["madang"]);
    put("me.pem", &ours.pem());
    put("me.key", &our_key.serialize_pem());
    let stranger = rcgen::generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap();
    put("stranger.pem", &stranger.cert.pem());
    put("stranger.key", &stranger.signing_key.serialize_pem());
    let (server, server_key) = signed(&["localhost"]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let key = rustls::pki_types::PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    Papers { folder, server }
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

fn files(folder: &Path, who: &str, name: &str) -> TlsFiles {
    TlsFiles {
        ca: Some(folder.join("ca.pem")),
        cert: Some(folder.join(format!("{who}.pem"))),
        key: Some(folder.join(format!("{who}.key"))),
        name: Some(name.into()),
    }
}

#[tokio::test]
async fn over_tls_both_sides_prove_who_they_are() {
    let papers = papers();
    let port = secure_gateway(papers.server).await;
    let folder = papers.folder.path();
    let link = madang::profile::builtin("eastron-sdm630").unwrap().link;
    let ask = async |files: TlsFiles| {
        let address = Address::parse(&format!("tls://127.0.0.1:{port}"))
            .unwrap()
            .with_tls(files);
        let mut client = Client::new(Dial::Sockets, Id::new("device"), address, link.clone());
        client.read(1, Table::Input, 0, 4).await
    };
    assert_eq!(ask(files(folder, "me", "localhost")).await, Ok(vec![0; 4]));
    let stranger = ask(files(folder, "stranger", "localhost")).await;
    assert!(stranger.is_err(), "a client nobody signed was let in: {stranger:?}");
    let elsewhere = ask(files(folder, "me", "otherhost")).await;
    assert!(
        elsewhere.as_ref().is_err_and(|e| e.to_string().contains("TLS")),
        "{elsewhere:?}"
    );
    let mut none = files(folder, "me", "localhost");
    none.key = Some(folder.join("nothing.key"));
    let missing = ask(none).await.unwrap_err().to_string();
    assert!(missing.contains("nothing.key"), "{missing}");
    let mut swapped = files(folder, "me", "localhost");
    swapped.key = Some(folder.join("me.pem"));
    let swapped = ask(swapped).await.unwrap_err().to_string();
    assert!(swapped.contains("me.pem") && !swapped.contains("BEGIN"), "{swapped}");
}
