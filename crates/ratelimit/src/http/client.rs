//! Who a request comes from, when it comes through proxies.

use super::{Network, forwarded, network::first_of};
use http::{HeaderMap, HeaderName, header::FORWARDED};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The field in which the proxies say where a request came from. A client can send the other one: only
/// that which all of the proxies write is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyField {
    /// `X-Forwarded-For`: addresses, each of them added by whoever was called from there.
    #[default]
    XForwardedFor,
    /// `Forwarded` of [RFC 7239](https://www.rfc-editor.org/rfc/rfc7239).
    Forwarded,
}

/// Finds the address of a client, as a key that it cannot choose.
///
/// Anybody can send a field that says anything. What a proxy adds to it stands at its end, so that it is
/// read from there: an address is believed if it was written by a proxy that is trusted, and the first one
/// that is not that of a trusted proxy is the client. What nobody trusted has written is never looked
/// at, nor is anything if the peer itself is not trusted.
///
/// Where a trusted proxy wrote what is no address (`unknown`, a name, nothing), it is taken for the client.
///
/// ```
/// use http::HeaderMap;
/// use tidegate_ratelimit::http::ClientAddress;
///
/// let client = ClientAddress::behind(["10.0.0.0/8".parse().unwrap()]);
/// let mut headers = HeaderMap::new();
/// // The first is what the client made up, the last but one is where it called the outer proxy from.
/// headers.insert("x-forwarded-for", "1.2.3.4, 203.0.113.7, 10.0.0.2".parse().unwrap());
/// assert_eq!(client.of([10, 0, 0, 1].into(), &headers).to_string(), "203.0.113.7");
/// assert_eq!(client.of([198, 51, 100, 1].into(), &headers).to_string(), "198.51.100.1");
/// ```
#[derive(Clone, Debug)]
pub struct ClientAddress {
    trusted: Box<[Network]>,
    field: ProxyField,
    ipv6_prefix: u8,
}

impl ClientAddress {
    /// Clients call without proxies: no field is read.
    #[must_use]
    pub fn direct() -> Self {
        Self::behind([])
    }

    /// Clients call through proxies in these networks. All of them must write
    /// [`X-Forwarded-For`](ProxyField::XForwardedFor), or another [field](Self::field).
    #[must_use]
    pub fn behind(trusted: impl IntoIterator<Item = Network>) -> Self {
        Self {
            trusted: trusted.into_iter().collect(),
            field: ProxyField::default(),
            ipv6_prefix: 64,
        }
    }

    /// What the proxies write.
    #[must_use]
    pub fn field(mut self, field: ProxyField) -> Self {
        self.field = field;
        self
    }

    /// How many bits of an IPv6 address count for its [key](Self::key); 64 by default, as whoever has one
    /// address has 2^64 of them. With 128, each is another client.
    #[must_use]
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits.min(128);
        self
    }

    /// The client's address. `peer` is where the connection comes from.
    #[must_use]
    pub fn of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        match self.field {
            ProxyField::XForwardedFor => {
                let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
                let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
                self.first_untrusted(peer, entries.map(address))
            }
            ProxyField::Forwarded => {
                let mut found = None;
                for line in headers.get_all(FORWARDED) {
                    // Quotes can only be read from their beginning.
                    forwarded::elements(line.as_bytes(), |caller| match (caller, found) {
                        (Some(caller), Some(_)) if self.trusts(caller) => {}
                        _ => found = caller,
                    });
                }
                found.unwrap_or(peer)
            }
        }
    }

    /// The client's address, with only so many bits of it as one client has for itself: what to limit it
    /// by.
    #[must_use]
    pub fn key(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        match self.of(peer, headers) {
            address @ IpAddr::V4(_) => address,
            address @ IpAddr::V6(_) => first_of(address, self.ipv6_prefix),
        }
    }

    /// Goes from the peer to who called it, and on, as long as it was a trusted proxy that says so.
    fn first_untrusted(
        &self,
        peer: IpAddr,
        callers: impl Iterator<Item = Option<IpAddr>>,
    ) -> IpAddr {
        let mut last = peer;
        for caller in callers {
            let Some(caller) = caller else { return last };
            last = caller;
            if !self.trusts(caller) {
                break;
            }
        }
        last
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// An address, and maybe a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
pub(super) fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let in_brackets = || {
        let inside = text.strip_prefix('[')?.strip_suffix(']')?;
        inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(in_brackets).or_else(with_port)?;
    Some(address.to_canonical())
}
