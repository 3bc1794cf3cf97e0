//! A client cannot choose the address that it is taken for.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use std::net::IpAddr;
use tidegate_ratelimit::http::{ClientAddress, Network, ProxyField};

const PEER: &str = "10.0.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks() -> [Network; 3] {
    ["10.0.0.0/8", "fd00::/8", "192.0.2.7"].map(|network| network.parse().unwrap())
}

fn headers(name: &'static str, lines: &[impl AsRef<[u8]>]) -> HeaderMap {
    let name = HeaderName::from_static(name);
    let value = |line: &[u8]| HeaderValue::from_bytes(line).unwrap();
    lines.iter().map(|line| (name.clone(), value(line.as_ref()))).collect()
}

/// The client by `X-Forwarded-For`.
fn found(lines: &[impl AsRef<[u8]>]) -> String {
    let client = ClientAddress::behind(networks());
    client.of(ip(PEER), &headers("x-forwarded-for", lines)).to_string()
}

/// The client by `Forwarded`.
fn found_by_rfc(lines: &[impl AsRef<[u8]>]) -> String {
    let client = ClientAddress::behind(networks()).field(ProxyField::Forwarded);
    client.of(ip(PEER), &headers("forwarded", lines)).to_string()
}

#[test]
fn the_client_is_the_last_that_is_no_proxy() {
    assert_eq!(found(&["203.0.113.7"]), "203.0.113.7");
    assert_eq!(found(&["203.0.113.7, 10.0.0.2, 10.9.9.9"]), "203.0.113.7");
    assert_eq!(found(&["203.0.113.7", "10.0.0.2,10.9.9.9"]), "203.0.113.7");
    assert_eq!(found(&["203.0.113.7,192.0.2.7"]), "203.0.113.7");
    assert_eq!(found(&["2001:db8::1, fd00::2"]), "2001:db8::1");
    // A client within: the outermost that a proxy speaks of.
    assert_eq!(found(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(found(&[] as &[&str]), PEER);
}

/// The first entry is what a client likes it to be.
#[test]
fn what_a_client_sends_itself_is_not_believed() {
    assert_eq!(found(&["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
    assert_eq!(found(&["10.0.0.9, 203.0.113.7, 10.0.0.2"]), "203.0.113.7");
    assert_eq!(found(&["1.1.1.1", "203.0.113.7"]), "203.0.113.7", "another line is no better");
    assert_eq!(found(&["10.0.0.9, 1.1.1.1, 10.0.0.9, 203.0.113.7"]), "203.0.113.7");
    assert_eq!(found(&["\", 203.0.113.7"]), "203.0.113.7", "there are no quotes in this field");
    assert_eq!(found(&[&b"\xff\xfe, 203.0.113.7"[..]]), "203.0.113.7");
}

#[test]
fn a_peer_that_is_no_proxy_is_the_client_whatever_it_sends() {
    for client in [ClientAddress::direct(), ClientAddress::behind(networks())] {
        for field in [ProxyField::XForwardedFor, ProxyField::Forwarded] {
            let client = client.clone().field(field);
            let mut sent = headers("x-forwarded-for", &["1.1.1.1"]);
            sent.extend(headers("forwarded", &["for=1.1.1.1"]));
            assert_eq!(client.of(ip("203.0.113.7"), &sent), ip("203.0.113.7"));
            assert_eq!(client.of(ip("11.0.0.1"), &sent), ip("11.0.0.1"));
            assert_eq!(client.of(ip("192.0.2.8"), &sent), ip("192.0.2.8"));
        }
    }
    let sent = headers("x-forwarded-for", &["1.1.1.1"]);
    assert_eq!(ClientAddress::direct().of(ip("127.0.0.1"), &sent), ip("127.0.0.1"));
}

/// The proxies write one field; a client could add the other.
#[test]
fn only_the_field_that_proxies_write_is_read() {
    assert_eq!(found_by_rfc(&[] as &[&str]), PEER);
    let xff = ClientAddress::behind(networks());
    let rfc = xff.clone().field(ProxyField::Forwarded);
    assert_eq!(xff.of(ip(PEER), &headers("forwarded", &["for=1.1.1.1"])), ip(PEER));
    assert_eq!(rfc.of(ip(PEER), &headers("x-forwarded-for", &["1.1.1.1"])), ip(PEER));
    assert_eq!(xff.of(ip(PEER), &headers("x-real-ip", &["1.1.1.1"])), ip(PEER));
}

/// What was written by a trusted proxy and is no address ends the walk: left of it is what a client may
/// have written.
#[test]
fn nothing_is_believed_that_stands_left_of_what_cannot_be_read() {
    for odd in [
        "unknown",
        "_hidden",
        "",
        " ",
        "localhost",
        "1.1.1",
        "1.1.1.1.1",
        "01.1.1.1",
        "256.1.1.1",
        "1.1.1.1:",
        "1.1.1.1:99999",
        "1.1.1.1/8",
        "[1.1.1.1]",
        "[::1",
        "::1]",
        "[::1]x",
        "[]",
        "::1%eth0",
        "for=1.1.1.1",
        "\"1.1.1.1\"",
        "0x7f.1.1.1",
        "1.1.1.1 2.2.2.2",
        "1.1.1.1;2.2.2.2",
    ] {
        assert_eq!(found(&[format!("6.6.6.6, {odd}")]), PEER, "{odd:?}");
        assert_eq!(found(&[format!("6.6.6.6, {odd}, 10.0.0.2")]), "10.0.0.2", "{odd:?}");
        assert_eq!(found(&["6.6.6.6", odd, "10.0.0.2"]), "10.0.0.2", "{odd:?}");
        assert_eq!(found(&[format!("6.6.6.6, {odd}, 203.0.113.7, 10.0.0.2")]), "203.0.113.7");
    }
    assert_eq!(found(&[&b"6.6.6.6, \xff1.1.1.1, 10.0.0.2"[..]]), "10.0.0.2");
}

#[test]
fn ports_and_brackets_are_not_part_of_an_address() {
    for (entry, address) in [
        ("203.0.113.7:4711", "203.0.113.7"),
        (" \t203.0.113.7:4711\t ", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:DB8:0:0::1]:4711", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
    ] {
        assert_eq!(found(&[entry]), address);
        // A proxy with a port is a proxy.
        assert_eq!(found(&[format!("{entry}, 10.0.0.2:80, [fd00::1]:80")]), address);
        assert_eq!(found_by_rfc(&[format!("for=\"{}\"", entry.trim())]), address);
    }
}

/// A socket for both kinds of addresses shows those of IPv4 as ones of IPv6.
#[test]
fn an_ipv4_peer_of_an_ipv6_socket_is_the_same_peer() {
    let client = ClientAddress::behind(networks());
    let sent = headers("x-forwarded-for", &["203.0.113.7"]);
    assert_eq!(client.of(ip("::ffff:10.0.0.1"), &sent), ip("203.0.113.7"));
    assert_eq!(client.of(ip("::ffff:203.0.113.9"), &sent), ip("203.0.113.9"));
    let mapped: Network = "::ffff:10.0.0.0/104".parse().unwrap();
    assert_eq!(mapped.to_string(), "10.0.0.0/8");
    assert!(mapped.contains(ip("10.2.3.4")) && mapped.contains(ip("::ffff:10.2.3.4")));
}

#[test]
fn whoever_has_an_ipv6_network_is_one_client() {
    let client = ClientAddress::direct();
    let key = |client: &ClientAddress, peer| client.key(ip(peer), &HeaderMap::new()).to_string();
    assert_eq!(key(&client, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(key(&client, "2001:db8:1:2:ffff::"), "2001:db8:1:2::");
    assert_eq!(key(&client, "2001:db8:1:3::"), "2001:db8:1:3::");
    assert_eq!(key(&client, "203.0.113.7"), "203.0.113.7");
    assert_eq!(key(&client, "::ffff:203.0.113.7"), "203.0.113.7");
    let coarse = client.clone().ipv6_prefix(56);
    assert_eq!(key(&coarse, "2001:db8:1:2ff:3::"), "2001:db8:1:200::");
    for bits in [128, 255] {
        let fine = client.clone().ipv6_prefix(bits);
        assert_eq!(key(&fine, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2:3:4:5:6");
    }
    assert_eq!(key(&client.clone().ipv6_prefix(0), "2001:db8::1"), "::");
    let through = ClientAddress::behind(networks());
    let sent = headers("x-forwarded-for", &["2001:db8:1:2:3:4:5:6"]);
    assert_eq!(through.key(ip(PEER), &sent), ip("2001:db8:1:2::"));
}

/// RFC 7239, sections 4 and 7.1.
#[test]
fn the_field_of_the_rfc_is_read_as_well() {
    assert_eq!(found_by_rfc(&["for=192.0.2.43"]), "192.0.2.43");
    assert_eq!(found_by_rfc(&["For=\"[2001:db8:cafe::17]:4711\""]), "2001:db8:cafe::17");
    assert_eq!(found_by_rfc(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), "192.0.2.60");
    assert_eq!(found_by_rfc(&["for=192.0.2.43, for=198.51.100.17"]), "198.51.100.17");
    assert_eq!(found_by_rfc(&["for=192.0.2.43,for=10.0.0.2", "FOR=10.0.0.3"]), "192.0.2.43");
    assert_eq!(found_by_rfc(&["host=\"a,b;for=1.1.1.1\";for=192.0.2.43"]), "192.0.2.43");
    assert_eq!(found_by_rfc(&["for=10.0.0.3, for=10.0.0.2"]), "10.0.0.3");
}

#[test]
fn the_field_of_the_rfc_is_not_believed_where_it_cannot_be_read() {
    for odd in [
        "for=unknown",
        "for=_hidden",
        "for=\"_gazonk\"",
        "proto=http",
        "",
        "for=",
        "for",
        "for=1.1.1.1;for=2.2.2.2",
        "for=1.1.1.1;oops",
        "for=unknown;for=1.1.1.1",
        "for=1.1.1.1;host=\"a",
        "by=1.1.1.1",
        "for=\"1.1.1.1",
        "for=1.1.1.1\"",
        "for=\"\\1.1.1.1\"",
        "for=\"\"",
        "x-for=1.1.1.1",
    ] {
        assert_eq!(found_by_rfc(&["for=6.6.6.6", odd, "for=10.0.0.2"]), "10.0.0.2", "{odd:?}");
        assert_eq!(found_by_rfc(&["for=6.6.6.6", odd]), PEER, "{odd:?}");
        assert_eq!(found_by_rfc(&[odd, "for=203.0.113.7, for=10.0.0.2"]), "203.0.113.7");
    }
    // Quotes that a client opens swallow what the proxy adds to the line, and nothing else.
    assert_eq!(found_by_rfc(&["for=6.6.6.6, for=\"1.1.1.1, for=203.0.113.7"]), PEER);
    assert_eq!(found_by_rfc(&["for=\"1.1.1.1", "for=203.0.113.7"]), "203.0.113.7");
    assert_eq!(found_by_rfc(&["for=\"\\\", for=203.0.113.7"]), PEER);
}

#[test]
fn networks_are_what_they_say() {
    let network = |text: &str| text.parse::<Network>();
    for (text, shown) in [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::1/33", "2001:db8::/33"),
        ("::1", "::1/128"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(network(text).unwrap().to_string(), shown);
    }
    for text in
        ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "/8", "10.0.0.0/8/8"]
    {
        assert!(network(text).is_err(), "{text}");
    }
    assert!(network("0.0.0.0/0").unwrap().contains(ip("255.255.255.255")));
    assert!(!network("0.0.0.0/0").unwrap().contains(ip("::1")));
    assert!(network("::/0").unwrap().contains(ip("::1")));
    let odd = network("10.128.0.0/9").unwrap();
    assert!(odd.contains(ip("10.200.0.1")) && !odd.contains(ip("10.127.255.255")));
    let one = Network::from(ip("::ffff:10.0.0.1"));
    assert!(one.contains(ip("10.0.0.1")) && !one.contains(ip("10.0.0.2")));
}

/// A caller, as one of the fields may say it.
#[derive(Clone, Debug)]
enum Caller {
    Proxy(u8),
    Other(u8),
    Odd,
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        any::<u8>().prop_map(Caller::Proxy),
        any::<u8>().prop_map(Caller::Other),
        Just(Caller::Odd),
    ]
}

impl Caller {
    fn text(&self) -> String {
        match self {
            Self::Proxy(n) => format!("10.0.0.{n}"),
            Self::Other(n) => format!("203.0.113.{n}"),
            Self::Odd => "unknown".to_owned(),
        }
    }
}

proptest! {
    /// By a walk from the peer on, however the callers are put into lines; and whatever a client has sent
    /// before the first caller that was not trusted, and whatever follows is that of proxies.
    #[test]
    fn both_fields_are_read_alike(
        callers in proptest::collection::vec(caller(), 0..6),
        breaks in proptest::collection::vec(any::<bool>(), 6),
        junk in "[ -~]{0,20}",
    ) {
        let mut expected = PEER.to_owned();
        for caller in callers.iter().rev() {
            if matches!(caller, Caller::Odd) {
                break;
            }
            expected = caller.text();
            if matches!(caller, Caller::Other(_)) {
                break;
            }
        }
        let lines = |prefix: &str| {
            let mut lines = vec![String::new()];
            for (n, caller) in callers.iter().enumerate() {
                let entry = format!("{prefix}{}", caller.text());
                let line = lines.last_mut().unwrap();
                if line.is_empty() {
                    *line = entry;
                } else if breaks[n] {
                    lines.push(entry);
                } else {
                    *line += ", ";
                    *line += &entry;
                }
            }
            lines.retain(|line| !line.is_empty());
            lines
        };
        prop_assert_eq!(found(&lines("")), expected.clone());
        prop_assert_eq!(found_by_rfc(&lines("for=")), expected.clone());
        if callers.iter().any(|caller| !matches!(caller, Caller::Proxy(_))) {
            let with_junk = |prefix| [vec![junk.clone()], lines(prefix)].concat();
            prop_assert_eq!(found(&with_junk("")), expected.clone());
            prop_assert_eq!(found_by_rfc(&with_junk("for=")), expected);
        }
    }
}
