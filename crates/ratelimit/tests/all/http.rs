//! Header fields are those of the draft, and structured fields.

mod client;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use std::time::Duration;
use tidegate_ratelimit::{
    AcquireError, Denied, Quota, Rate, RateLimiter, TryAcquireError,
    http::{QuotaPolicy, QuotaUnit, RATELIMIT, RATELIMIT_POLICY, RetryAfter},
};

const SECOND: Duration = Duration::from_secs(1);

fn policy(name: &str, quota: u64) -> QuotaPolicy<'_> {
    QuotaPolicy::new(name, quota).unwrap()
}

/// Sections 3, 3.2, 4.2 and 8.5.
#[test]
fn the_examples_of_the_draft() {
    let seconds = Duration::from_secs;
    let shown = policy("burst", 100).window(seconds(60)).to_string();
    assert_eq!(shown, r#""burst";q=100;w=60"#);
    assert_eq!(policy("default", 100).window(seconds(10)).to_string(), r#""default";q=100;w=10"#);
    let mut headers = HeaderMap::new();
    policy("permin", 50).window(seconds(60)).tell(50, &mut headers);
    policy("perhr", 1000).window(seconds(3600)).tell(1000, &mut headers);
    let policies: Vec<_> = headers.get_all(&RATELIMIT_POLICY).iter().collect();
    assert_eq!(policies, [r#""permin";q=50;w=60"#, r#""perhr";q=1000;w=3600"#]);
    let limits: Vec<_> = headers.get_all(&RATELIMIT).iter().collect();
    assert_eq!(limits, [r#""permin";r=50"#, r#""perhr";r=1000"#]);
    // The text of the draft has the keys only as base64, and these with bits that no bytes have.
    let key = policy("peruser", 100).window(seconds(60)).partition_key(b"p{\x1d\xb1\x16\xbc\xf7");
    assert_eq!(key.to_string(), r#""peruser";q=100;w=60;pk=:cHsdsRa89w==:"#);
    let bytes = policy("peruser", 65_535)
        .unit(QuotaUnit::ContentBytes)
        .window(seconds(10))
        .partition_key(b"\xb1\xd7\xe3");
    assert_eq!(bytes.to_string(), r#""peruser";q=65535;qu="content-bytes";w=10;pk=:sdfj:"#);

    let limit = policy("default", 100).limit(50).reset(seconds(30));
    assert_eq!(limit.to_string(), r#""default";r=50;t=30"#);
    let trial = policy("default", 1000).partition_key(b"trial121323").limit(999);
    assert_eq!(trial.to_string(), r#""default";r=999;pk=:dHJpYWwxMjEzMjM=:"#);
    let app = policy("default", 1).partition_key(b"App-999").limit(300_000_000);
    assert_eq!(
        app.reset(seconds(60)).to_string(),
        r#""default";r=300000000;t=60;pk=:QXBwLTk5OQ==:"#
    );
    let some = QuotaPolicy::of("somepolicy", Quota::new(Rate::new(10_000, seconds(1000)), 10));
    assert_eq!(some.unwrap().to_string(), r#""somepolicy";q=10000;w=1000"#);
    let units = [QuotaUnit::Requests, QuotaUnit::ConcurrentRequests];
    let shown = units.map(|unit| policy("a", 1).unit(unit).to_string());
    assert_eq!(shown, [r#""a";q=1;qu="requests""#, r#""a";q=1;qu="concurrent-requests""#]);
}

/// RFC 4648, section 10.
#[test]
fn partition_keys_are_base64() {
    let shown = ["", "f", "fo", "foo", "foob", "fooba", "foobar"]
        .map(|key| policy("a", 1).partition_key(key.as_bytes()).limit(1).to_string());
    let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]
        .map(|text| format!(r#""a";r=1;pk=:{text}:"#));
    assert_eq!(shown, expected);
}

/// What comes back in a second, a minute, an hour; or a burst, where it takes longer to come back.
#[test]
fn a_quota_is_told_in_whole_seconds() {
    let ms = Duration::from_millis;
    for (rate, burst, shown) in [
        (Rate::per_second(100), 20, "q=100;w=1"),
        (Rate::per_second(100), 250, "q=300;w=3"),
        (Rate::per_second(1), 60, "q=60;w=60"),
        (Rate::per_minute(10), 10, "q=10;w=60"),
        (Rate::per_hour(100), 150, "q=150;w=5400"),
        (Rate::every(ms(5)), 2, "q=200;w=1"),
        (Rate::every(ms(1500)), 1, "q=1;w=2"),
        (Rate::new(7, ms(2500)), 1, "q=8;w=3"),
        (Rate::ZERO, 5, "q=5"),
        (Rate::UNLIMITED, 5, "q=999999999999999"),
        (Rate::per_second(u64::MAX), 1, "q=999999999999999;w=1"),
        (Rate::per_day(1), u64::MAX, "q=999999999999999;w=999999999999999"),
    ] {
        let policy = QuotaPolicy::of("a", Quota::new(rate, burst)).unwrap();
        assert_eq!(policy.to_string(), format!(r#""a";{shown}"#), "{rate}, burst {burst}");
    }
}

#[test]
fn nobody_is_told_to_come_back_too_early() {
    for (after, seconds) in [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1), 1),
        (SECOND, 1),
        (SECOND + Duration::from_nanos(1), 2),
        (Duration::from_millis(1999), 2),
        (Duration::MAX, u64::MAX),
    ] {
        assert_eq!(RetryAfter::new(after).seconds(), seconds);
        let value = HeaderValue::from(RetryAfter::new(after));
        assert_eq!(value, seconds.to_string());
        assert_eq!(value, RetryAfter::new(after).to_string());
    }
    assert_eq!(policy("a", 1).window(Duration::ZERO).to_string(), r#""a";q=1;w=1"#);
    let reset = policy("a", 1).limit(0).reset(Duration::from_millis(1)).to_string();
    assert_eq!(reset, r#""a";r=0;t=1"#);
}

#[tidegate_testkit::test]
async fn a_denied_request_is_told_when_to_come_back() {
    let limiter = RateLimiter::builder(Rate::per_minute(4)).burst(2).build().unwrap();
    let policy = policy("a", 4).window(Duration::from_secs(60));
    let told = |denied: Denied| {
        let mut headers = HeaderMap::new();
        policy.tell_denied(&denied, &mut headers);
        let shown = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(shown("ratelimit-policy").unwrap(), r#""a";q=4;w=60"#);
        (shown("ratelimit").unwrap(), shown("retry-after"))
    };
    limiter.try_acquire(1).unwrap();
    let denied = limiter.try_acquire(2).unwrap_err();
    assert_eq!(told(denied.into()), (r#""a";r=1;t=15"#.into(), Some("15".into())));
    let never = limiter.try_acquire(3).unwrap_err();
    assert!(matches!(never, TryAcquireError::Never { .. }));
    assert_eq!(told(never.into()), (r#""a";r=1"#.into(), None), "what is left, not the burst");
    let late = limiter.reserve_within(2, SECOND).unwrap_err();
    assert!(matches!(late, AcquireError::TooLate { .. }));
    assert_eq!(told(late.into()), (r#""a";r=0;t=15"#.into(), Some("15".into())));
}

const AT_COMPILE_TIME: QuotaPolicy<'static> = match QuotaPolicy::new("a", 1) {
    Ok(policy) => policy,
    Err(_) => panic!("a name"),
};

#[test]
fn a_name_is_told_whole_or_refused() {
    assert_eq!(policy(r#"a "b" \c"#, 1).to_string(), r#""a \"b\" \\c";q=1"#);
    for name in ["é", "a\nb", "a\r\nset-cookie: b", "\u{7f}", "\0"] {
        let refused = QuotaPolicy::new(name, 1).unwrap_err();
        assert!(refused.to_string().contains("printable ASCII"));
    }
    assert_eq!(AT_COMPILE_TIME, policy("a", 1));
}

/// An item of a list, by RFC 9651: a string with parameters, each an integer, a string or bytes.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    name: String,
    parameters: Vec<(String, Value)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Integer(u64),
    Text(String),
    Bytes(String),
}

/// Takes no more than the RFC allows to be sent; none, if that is not it.
fn parse(field: &str) -> Option<Item> {
    let mut rest = field;
    let Value::Text(name) = value(&mut rest)? else { return None };
    let mut parameters = Vec::new();
    while let Some(next) = rest.strip_prefix(';') {
        let (key, next) = next.split_once('=')?;
        let mut letters = key.chars();
        letters.next().filter(|first| first.is_ascii_lowercase() || *first == '*')?;
        letters
            .all(|other| matches!(other, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | '*'))
            .then_some(())?;
        rest = next;
        parameters.push((key.to_owned(), value(&mut rest)?));
    }
    rest.is_empty().then_some(Item { name, parameters })
}

fn value(rest: &mut &str) -> Option<Value> {
    if let Some(mut text) = rest.strip_prefix('"') {
        let mut unescaped = String::new();
        loop {
            let next = text.chars().next().filter(|next| matches!(next, ' '..='~'))?;
            text = &text[1..];
            match next {
                '"' => break,
                '\\' => {
                    let escaped = text.chars().next().filter(|next| matches!(next, '"' | '\\'))?;
                    text = &text[1..];
                    unescaped.push(escaped);
                }
                next => unescaped.push(next),
            }
        }
        *rest = text;
        return Some(Value::Text(unescaped));
    }
    if let Some(bytes) = rest.strip_prefix(':') {
        let (bytes, next) = bytes.split_once(':')?;
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        *rest = next;
        return bytes.chars().all(is_base64).then(|| Value::Bytes(bytes.to_owned()));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, next) = rest.split_at(end);
    *rest = next;
    (1..=15).contains(&digits.len()).then(|| digits.parse().ok().map(Value::Integer))?
}

proptest! {
    #[test]
    fn every_field_is_a_structured_one(
        name in "[ -~]{0,12}",
        quota: u64,
        remaining: u64,
        window in proptest::option::of(any::<Duration>()),
        reset in proptest::option::of(any::<Duration>()),
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
    ) {
        let mut policy = policy(&name, quota);
        if let Some(window) = window {
            policy = policy.window(window);
        }
        if let Some(key) = &key {
            policy = policy.partition_key(key);
        }
        let shown = HeaderValue::from(&policy);
        let item = parse(shown.to_str().unwrap()).expect("a structured field");
        prop_assert_eq!(&item.name, &name);
        let keys: Vec<_> = item.parameters.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [Some("q"), window.map(|_| "w"), key.as_ref().map(|_| "pk")];
        prop_assert_eq!(keys, expected.into_iter().flatten().collect::<Vec<_>>());
        prop_assert_eq!(&item.parameters[0].1, &Value::Integer(quota.min(999_999_999_999_999)));

        let mut limit = policy.limit(remaining);
        if let Some(reset) = reset {
            limit = limit.reset(reset);
        }
        let shown = HeaderValue::from(&limit);
        let item = parse(shown.to_str().unwrap()).expect("a structured field");
        prop_assert_eq!(&item.name, &name);
        prop_assert_eq!(item.parameters.len(), 1 + [reset.is_some(), key.is_some()].into_iter().filter(|is| *is).count());
    }

    /// What a limiter says is left is never more than what its policy says there is.
    #[test]
    fn a_policy_is_no_less_than_a_burst_and_no_more_than_its_limiter_lets_pass(
        count in 1..1_000_000_u64,
        period_ms in 1..100_000_u64,
        burst in 1..1_000_000_u64,
    ) {
        let quota = Quota::new(Rate::new(count, Duration::from_millis(period_ms)), burst);
        let shown = QuotaPolicy::of("a", quota).unwrap().to_string();
        let parameters = parse(&shown).unwrap().parameters;
        let [(_, Value::Integer(q)), (_, Value::Integer(w))] = parameters[..] else { panic!("{shown}") };
        prop_assert!(q >= burst);
        let passes = u128::from(burst) + u128::from(count) * u128::from(w) * 1000 / u128::from(period_ms);
        prop_assert!(u128::from(q) <= passes);
    }
}
