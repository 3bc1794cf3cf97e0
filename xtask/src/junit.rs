//! Reports as `JUnit` XML, one test case a lane.

use std::fmt::Write as _;

use crate::{outcome::Outcome, report::Report};

/// The whole document.
#[must_use]
pub fn document(reports: &[Report]) -> String {
    let count = |wanted: &[Outcome]| {
        reports.iter().filter(|report| wanted.contains(&report.result)).count()
    };
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let _ = writeln!(
        xml,
        "  <testsuite name=\"tidegate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" \
         time=\"{seconds:.3}\">",
        reports.len(),
        count(&[Outcome::Fail]),
        count(&[Outcome::Timeout, Outcome::Inconclusive]),
        count(&[Outcome::Unavailable, Outcome::Skipped]),
    );
    for report in reports {
        case(&mut xml, report);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn case(xml: &mut String, report: &Report) {
    let (lane, seconds) = (escaped(&report.lane), report.seconds);
    let _ = write!(xml, "    <testcase classname=\"lane\" name=\"{lane}\" time=\"{seconds:.3}\"");
    let element = match report.result {
        Outcome::Pass => {
            xml.push_str("/>\n");
            return;
        }
        Outcome::Fail => "failure",
        // Nothing is known to be wrong, but the check did not come to its end.
        Outcome::Timeout | Outcome::Inconclusive => "error",
        Outcome::Unavailable | Outcome::Skipped => "skipped",
    };
    let message = escaped(&format!("{}: {}", report.result, report.reason));
    let _ = write!(xml, ">\n      <{element} message=\"{message}\">");
    for (index, name) in report.failed.iter().enumerate() {
        let break_before = if index == 0 { "" } else { "\n" };
        let _ = write!(xml, "{break_before}{}", escaped(name));
    }
    let _ = writeln!(xml, "</{element}>\n    </testcase>");
}

/// Text as it may stand between tags and within quotes.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            // Within quotes a reader would make a space of it.
            '\n' => xml.push_str("&#10;"),
            '\t' => xml.push_str("&#9;"),
            // XML has no way to write the other control characters.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lane: &str, result: Outcome, reason: &str) -> Report {
        Report { result, reason: reason.into(), seconds: 1.5, ..Report::new(lane, "") }
    }

    #[test]
    fn each_lane_is_a_case_with_what_went_wrong() {
        let mut test = report("test", Outcome::Fail, "2 tests failed: a::b");
        test.failed = vec!["core a::b".into(), "core c::<d>".into()];
        let reports = [
            report("fmt", Outcome::Pass, ""),
            test,
            report("loom", Outcome::Inconclusive, "3 of 4 models ran to the end"),
            report("semver", Outcome::Skipped, "no \"tag\""),
        ];
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"tidegate\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"6.000\">
    <testcase classname=\"lane\" name=\"fmt\" time=\"1.500\"/>
    <testcase classname=\"lane\" name=\"test\" time=\"1.500\">
      <failure message=\"fail: 2 tests failed: a::b\">core a::b
core c::&lt;d&gt;</failure>
    </testcase>
    <testcase classname=\"lane\" name=\"loom\" time=\"1.500\">
      <error message=\"inconclusive: 3 of 4 models ran to the end\"></error>
    </testcase>
    <testcase classname=\"lane\" name=\"semver\" time=\"1.500\">
      <skipped message=\"skipped: no &quot;tag&quot;\"></skipped>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(document(&reports), expected);
    }

    #[test]
    fn whatever_a_reason_holds_the_document_stays_well_formed() {
        assert_eq!(escaped("<a & 'b'> \"c\""), "&lt;a &amp; &apos;b&apos;&gt; &quot;c&quot;");
        assert_eq!(escaped("x\ny\t\u{1b}[0m\u{0}"), "x&#10;y&#9;\u{fffd}[0m\u{fffd}");
        assert_eq!(escaped("\u{e4}\u{1f600}"), "\u{e4}\u{1f600}");
    }
}
