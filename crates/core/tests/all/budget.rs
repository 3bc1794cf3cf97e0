use proptest::prelude::*;
use std::time::Duration;
use tidegate_core::{Budget, ParseBudgetError};

fn nanos(n: u64) -> Budget {
    Budget::new(Duration::from_nanos(n))
}

#[test]
fn values_of_grpc_timeout() {
    for (nanoseconds, value) in [
        (0, "1n"),
        (1, "1n"),
        (99_999_999, "99999999n"),
        (100_000_000, "100000u"),
        (100_000_999, "100000u"),
        (99_999_999_999, "99999999u"),
        (100_000_000_000, "100000m"),
        (100_000_000_000_000, "100000S"),
    ] {
        assert_eq!(nanos(nanoseconds).to_grpc_timeout().as_deref(), Some(value));
    }
    let longest = Budget::new(Duration::MAX).to_grpc_timeout().unwrap();
    assert_eq!(longest, "99999999H");
    assert_eq!(Budget::UNLIMITED.to_grpc_timeout(), None);
    for (value, millis) in [("0n", 0), ("2H", 7_200_000), ("3M", 180_000), ("4S", 4_000), ("5m", 5)]
    {
        assert_eq!(
            Budget::from_grpc_timeout(value),
            Ok(Budget::new(Duration::from_millis(millis)))
        );
    }
}

#[test]
fn bad_headers_are_typed_errors() {
    use ParseBudgetError::{NotANumber, TooLong, UnknownUnit};
    for (header, error) in [
        ("", NotANumber),
        ("S", NotANumber),
        ("+1S", NotANumber),
        ("-1S", NotANumber),
        ("1 S", NotANumber),
        ("\u{661}S", NotANumber),
        ("1s", UnknownUnit),
        ("10", UnknownUnit),
        ("1\u{b5}", UnknownUnit),
        ("123456789S", TooLong),
        ("99999999999999999999S", TooLong),
    ] {
        assert_eq!(Budget::from_grpc_timeout(header), Err(error), "{header:?}");
    }
    for (header, error) in [
        ("", NotANumber),
        ("1.5", NotANumber),
        ("-1", NotANumber),
        ("18446744073709551616", TooLong),
    ] {
        assert_eq!(Budget::from_millis(header), Err(error), "{header:?}");
    }
}

#[test]
fn the_smaller_of_two() {
    let (less, more) = (nanos(1), nanos(2));
    assert_eq!((less.min(more), more.min(less)), (less, less));
    assert_eq!((less.min(Budget::UNLIMITED), Budget::UNLIMITED.min(less)), (less, less));
    assert_eq!(Budget::UNLIMITED.min(Budget::UNLIMITED), Budget::UNLIMITED);
    assert!(nanos(0).is_spent() && !less.is_spent() && !Budget::UNLIMITED.is_spent());
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 8 } else { 256 },
        ..ProptestConfig::default()
    })]

    /// A service is never told more than is left, unless that is less than one unit, and loses
    /// less than a part in 100 000.
    #[test]
    fn a_header_tells_no_more_than_is_left(shift in 0_u32..64, left in any::<u64>()) {
        let left = nanos(left >> shift);
        let sent = left.to_grpc_timeout().unwrap();
        prop_assert!(sent.len() <= 9 && !sent.starts_with('0'), "{}", sent);
        let got = Budget::from_grpc_timeout(&sent).unwrap().left().unwrap();
        let left = left.left().unwrap().max(Duration::from_nanos(1));
        prop_assert!(got <= left && left <= got + left / 100_000, "{:?} became {:?}", left, got);

        let sent = Budget::new(left).to_millis().unwrap();
        let got = Budget::from_millis(&sent).unwrap().left().unwrap();
        let millis = u64::try_from(left.as_millis()).unwrap();
        prop_assert_eq!(got, Duration::from_millis(millis.max(1)));
    }

    #[test]
    fn no_header_makes_a_parser_panic(header in ".{0,12}") {
        let _ = (Budget::from_millis(&header), Budget::from_grpc_timeout(&header));
    }
}
