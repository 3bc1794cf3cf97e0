use super::*;

fn workspace() -> Workspace {
    let package = |name: &str, kind: &str| {
        serde_json::from_value(serde_json::json!({
            "name": name, "version": "0.1.0", "id": name, "dependencies": [],
            "manifest_path": "/w/Cargo.toml",
            "targets": [{"name": name, "kind": [kind], "src_path": "/w/x.rs"}],
        }))
        .unwrap()
    };
    Workspace {
        root: "/w".into(),
        target: "/w/target".into(),
        builds: "/w/target".into(),
        members: vec![package("tide", "lib"), package("treesum", "bin")],
        defaults: Vec::new(),
    }
}

fn token(name: &str, output: &[&str]) -> Option<String> {
    let report = Report {
        profile: "pr".into(),
        seed: Some("0x2a".into()),
        ..Report::new("stress", "rustc")
    };
    let output = output.iter().map(|line| (*line).to_owned()).collect();
    let commit = Commit { id: "3ee12b1c96".into(), changed: false };
    let failure = Failure { name: name.to_owned(), output };
    of(&report, &failure, &workspace(), &commit).map(|token| token.to_string())
}

#[test]
fn a_failed_test_has_a_token() {
    assert_eq!(
        token("tide::all stress::storm", &[]).unwrap(),
        "stress@3ee12b1c96+2a/tide::all/stress::storm"
    );
    assert_eq!(token("tide level::rises", &[]).unwrap(), "stress@3ee12b1c96+2a/tide/level::rises");
}

#[test]
fn the_seed_that_the_test_told_last_counts() {
    let output = ["TIDEGATE_SEED=0x1", "it failed; repeat with TIDEGATE_SEED=0x1f, again"];
    assert_eq!(token("tide a", &output).unwrap(), "stress@3ee12b1c96+1f/tide/a");
}

#[test]
fn what_is_no_test_has_none() {
    assert_eq!(token("error: use of a moved value", &[]), None);
    assert_eq!(token("tide (doc) src/lib.rs - (line 3)", &[]), None);
    assert_eq!(token("other::all a", &[]), None);
}

#[test]
fn a_program_that_ended_early_is_run_as_a_whole_unless_it_says_in_which_test() {
    let name = "tide ended before its tests did";
    assert_eq!(token(name, &["killed"]).unwrap(), "stress@3ee12b1c96+2a/tide");
    let output = ["test level::last ... error: Undefined Behavior: out of bounds"];
    assert_eq!(token(name, &output).unwrap(), "stress@3ee12b1c96+2a/tide/level::last");
}

#[test]
fn a_token_is_read_as_it_was_written() {
    for text in [
        "test@3ee12b1c96/tide/level::rises",
        "stress.nightly@3ee12b1c96x+ffffffffffffffff/tide::all/stress::storm",
        "tsan@3ee12b1c96/tide",
        "loom@/tide/loom_tests::loom_adds",
    ] {
        let token: Token = text.parse().unwrap();
        assert_eq!(token.to_string(), text);
    }
    for text in
        ["", "test", "test@3ee", "@3ee/a/b", "test@3ee//b", "test@3ee/a/", "test@3ee+zz/a/b"]
    {
        assert!(text.parse::<Token>().is_err(), "{text}");
    }
    assert!("test.weekly@3ee/a/b".parse::<Token>().is_err());
}

#[test]
fn the_program_is_picked_by_what_the_package_has() {
    let program = |text: &str| {
        let token: Token = text.parse().unwrap();
        token.focus(&workspace()).map(|focus| (focus.package, focus.program, focus.test))
    };
    let test = Some("a::b".to_owned());
    assert_eq!(program("test@1/tide/a::b"), Ok(("tide".into(), "--lib".into(), test.clone())));
    assert_eq!(program("test@1/treesum/a::b"), Ok(("treesum".into(), "--bins".into(), test)));
    assert_eq!(program("test@1/tide::all"), Ok(("tide".into(), "--test=all".into(), None)));
    assert_eq!(program("test@1/gone/a::b"), Err("there is no package gone".into()));
}

#[test]
fn another_commit_is_warned_of() {
    let commit = |id: &str, changed| Commit { id: id.into(), changed };
    assert_eq!(commit("3ee", false).warning(&commit("3ee", false)), None);
    let other = commit("3ee", false).warning(&commit("4ff", false)).unwrap();
    assert_eq!(other, "it failed at commit 3ee, and this is 4ff");
    for (then, now) in [(true, false), (false, true)] {
        assert!(commit("3ee", then).warning(&commit("3ee", now)).unwrap().contains("changed"));
    }
}
