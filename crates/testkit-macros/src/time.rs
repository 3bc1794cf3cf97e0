//! Times such as `1h`.

use std::time::Duration;

/// How many milliseconds a unit has. One that ends like another comes before it.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A whole number with a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, millis)| Some((text.strip_suffix(unit)?, millis)))
        .ok_or("a time has a unit: \"50ms\", \"5s\", \"10m\", \"1h\" or \"2d\"")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err("a time is a whole number with a unit, such as \"50ms\" or \"1h\"");
    }
    let number: Option<u64> = number.parse().ok();
    let millis = number.and_then(|number| number.checked_mul(*unit));
    millis.map(Duration::from_millis).ok_or("more than any clock can say")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_known() {
        let millis = |text| parse(text).unwrap().as_millis();
        assert_eq!(
            ["0ms", "7ms", "2s", "3m", "1h", "1d"].map(millis),
            [0, 7, 2_000, 180_000, 3_600_000, 86_400_000]
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "5", "h", "-1s", "+1s", "1.5s", " 1s", "1 s", "1us", "999999999999999d"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
