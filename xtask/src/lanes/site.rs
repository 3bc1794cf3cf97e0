//! `site`: the book builds, its code runs, its links lead somewhere, the API is next to it.

use std::{fmt::Write as _, fs, io, path::Path};

use super::links;
use crate::{cx::Cx, outcome::Stop, parse, process::Cmd, tools::MDBOOK};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    let mdbook = MDBOOK.require(cx)?;

    // The code on the pages, and the examples with their tests.
    let cmd = Cmd::cargo().args(["test", "--locked", "-p", "tidegate-docs"]);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    super::all_passed(&tests, finished.success)?;

    let site = workspace.target.join("site");
    match fs::remove_dir_all(&site) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let build = Cmd::new(mdbook)
        .args(["build", "--dest-dir"])
        .arg(site.as_os_str())
        .arg(workspace.root.join("docs").as_os_str());
    let output = cx.check(&build)?;
    // mdBook goes on after a broken include or an unknown option.
    if let Some(line) = output.lines().find(|line| line.contains("ERROR") || line.contains(" WARN"))
    {
        return Err(Stop::fail(format!("mdbook: {}", line.trim())));
    }

    super::doc::build(cx)?;
    let names: Vec<&str> = workspace.published_names().collect();
    place_api(&workspace.target.join("doc"), &site.join("api"), &names)?;
    cx.crates(names);

    let links = links::check(&site, &["api"])?;
    cx.report.explored = links.checked;
    "links".clone_into(&mut cx.report.unit);
    for broken in &links.broken {
        cx.note(format_args!("{broken}"));
    }
    if links.checked == 0 {
        return Err(Stop::fail("the site has no link"));
    }
    match links.broken.first() {
        Some(first) => Err(Stop::fail(format!("{} broken links: {first}", links.broken.len()))),
        None => Ok(()),
    }
}

/// Copies the documentation of `names` from `doc` to `api`, with a front page that lists them.
/// Other crates' pages that an earlier `cargo doc` left in `doc` stay there.
fn place_api(doc: &Path, api: &Path, names: &[&str]) -> io::Result<()> {
    fs::create_dir_all(api)?;
    let ours: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
    for entry in fs::read_dir(doc)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let to = api.join(&name);
        if !entry.file_type()?.is_dir() {
            fs::copy(&path, &to)?;
        } else if name == "src" {
            for crate_name in &ours {
                copy(&path.join(crate_name), &to.join(crate_name))?;
            }
        } else if ours.contains(&name) || !path.join("all.html").exists() {
            copy(&path, &to)?;
        }
    }
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <title>tidegate API</title></head>\n<body>\n<h1>tidegate API</h1>\n<ul>\n",
    );
    for (name, library) in names.iter().zip(&ours) {
        let _ = writeln!(page, "<li><a href=\"{library}/index.html\">{name}</a></li>");
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    fs::write(api.join("index.html"), page)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_pages_are_placed() {
        let dir = tempfile::tempdir().unwrap();
        let doc = dir.path().join("doc");
        for name in [
            "a_b/all.html",
            "tokio/all.html",
            "static.files/x.js",
            "src/a_b/lib.rs.html",
            "src/tokio/l.html",
            "help.html",
        ] {
            let path = doc.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let api = dir.path().join("api");
        place_api(&doc, &api, &["a-b"]).unwrap();
        for name in ["a_b/all.html", "static.files/x.js", "src/a_b/lib.rs.html", "help.html"] {
            assert!(api.join(name).exists(), "{name}");
        }
        assert!(!api.join("tokio").exists() && !api.join("src/tokio").exists());
        assert!(fs::read_to_string(api.join("index.html")).unwrap().contains("a_b/index.html"));
    }
}
