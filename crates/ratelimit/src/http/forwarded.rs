//! The field `Forwarded` of RFC 7239.

use super::client::address;
use std::net::IpAddr;

/// Calls `found` with the address that each element of the line says the request came from: none, where
/// it says so in other words, or not at all. What cannot be read is one element without an address.
pub(super) fn elements(line: &[u8], mut found: impl FnMut(Option<IpAddr>)) {
    let mut rest = line;
    loop {
        let Some((element, next)) = split(rest, b',') else { return found(None) };
        found(origin(element));
        match next {
            Some(next) => rest = next,
            None => return,
        }
    }
}

/// What stands before the first separator that is not in quotes, and what after it. None, if quotes do
/// not end.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], Option<&[u8]>)> {
    let mut in_quotes = false;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' if in_quotes => drop(bytes.next()),
            byte if *byte == separator && !in_quotes => {
                return Some((&text[..at], Some(&text[at + 1..])));
            }
            _ => {}
        }
    }
    (!in_quotes).then_some((text, None))
}

/// The address of the one parameter `for`.
fn origin(element: &[u8]) -> Option<IpAddr> {
    let mut origin = None;
    let mut rest = Some(element);
    while let Some(text) = rest {
        let (pair, next) = split(text, b';')?;
        rest = next;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") {
            // Which of two would be right?
            if origin.replace(node(value)?).is_some() {
                return None;
            }
        }
    }
    origin
}

/// An address and maybe a port; where it has colons, in quotes, and one of IPv6 in brackets.
fn node(value: &[u8]) -> Option<IpAddr> {
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    address(quoted.unwrap_or(value))
}
