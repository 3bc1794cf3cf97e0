//! Checks that the links of built HTML lead to files and anchors that exist. Offline: links with
//! a scheme are not followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::sources;

/// What was found.
#[derive(Debug, Default)]
pub struct Links {
    /// Links that were followed.
    pub checked: u64,
    /// `page: link: why`, sorted.
    pub broken: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Checks the pages below `site`; those in the folders `only_targets` are linked to, but their own
/// links are rustdoc's business.
///
/// # Errors
/// When a page cannot be read.
pub fn check(site: &Path, only_targets: &[&str]) -> io::Result<Links> {
    let mut pages: BTreeMap<PathBuf, Page> = BTreeMap::new();
    let mut links = Links::default();
    for file in sources::files(site, "html")? {
        let relative = file.strip_prefix(site).unwrap_or(&file).to_path_buf();
        let foreign = only_targets.iter().any(|folder| relative.starts_with(folder));
        // The error page is served from any path, so its links are rooted at the site's base.
        if foreign || relative == Path::new("404.html") {
            continue;
        }
        pages.insert(relative, scan(&fs::read_to_string(&file)?));
    }
    let sources: Vec<(PathBuf, Vec<String>)> =
        pages.iter().map(|(path, page)| (path.clone(), page.links.clone())).collect();
    for (page, targets) in sources {
        for link in targets {
            if has_scheme(&link) {
                continue;
            }
            links.checked += 1;
            if let Err(why) = follow(site, &page, &link, &mut pages) {
                links.broken.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    links.broken.sort();
    links.broken.dedup();
    Ok(links)
}

fn has_scheme(link: &str) -> bool {
    link.starts_with("//")
        || link.split_once(':').is_some_and(|(scheme, _)| {
            !scheme.is_empty()
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
}

fn follow(
    site: &Path,
    page: &Path,
    link: &str,
    pages: &mut BTreeMap<PathBuf, Page>,
) -> Result<(), &'static str> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or(path);
    let target = if path.is_empty() {
        page.to_path_buf()
    } else {
        let joined = page.parent().unwrap_or(Path::new("")).join(decoded(path));
        resolve(&joined).ok_or("leaves the site")?
    };
    let mut file = site.join(&target);
    let mut target = target;
    if file.is_dir() {
        target.push("index.html");
        file.push("index.html");
    }
    if !file.is_file() {
        return Err("no such file");
    }
    if anchor.is_empty() || target.extension().is_none_or(|ext| ext != "html") {
        return Ok(());
    }
    if !pages.contains_key(&target) {
        let text = fs::read_to_string(&file).map_err(|_| "unreadable")?;
        pages.insert(target.clone(), scan(&text));
    }
    if pages[&target].anchors.contains(&decoded(anchor)) { Ok(()) } else { Err("no such anchor") }
}

/// `a/../b` as `b`; `None` when it leads out of the site or is absolute.
fn resolve(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(byte)) = (first, escaped) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).replace("&amp;", "&")
}

/// Links and anchors of a page. Scripts and comments are skipped; everything else that generators
/// write is a tag with quoted attributes.
fn scan(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let end = tag_end(rest);
        let tag = &rest[..end];
        rest = &rest[end..];
        for (name, value) in attributes(tag) {
            match name {
                "href" | "src" if !value.is_empty() => page.links.push(value.to_owned()),
                "id" | "name" => {
                    page.anchors.insert(value.to_owned());
                }
                _ => {}
            }
        }
        if tag.starts_with("<script") {
            rest = rest.split_once("</script>").map_or("", |(_, after)| after);
        }
    }
    page
}

/// The length of the tag at the start of `text`; a `>` within quotes does not end it.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return index + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit(|c: char| c.is_whitespace() || c == '"' || c == '\'').next();
        let Some(quote) = after.chars().next().filter(|c| *c == '"' || *c == '\'') else {
            rest = after;
            continue;
        };
        let Some((value, tail)) = after[1..].split_once(quote) else { break };
        found.push((name.unwrap_or(""), value));
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn good_links_hold() {
        let dir = site(&[
            (
                "index.html",
                "<h1 id='top'>x</h1><a class=\"a\" href=\"sub/b.html#caf%C3%A9\">b</a><a href=\"#top\">t</a>",
            ),
            (
                "sub/b.html",
                "<a id=\"café\" href=\"../index.html\">up</a><a href=\"../api/\">api</a><a href=\"https://x/#y\">x</a>",
            ),
            ("api/index.html", "<a href=\"gone.html\">rustdoc's business</a>"),
        ]);
        let links = check(dir.path(), &["api"]).unwrap();
        assert_eq!(links.broken, Vec::<String>::new());
        assert_eq!(links.checked, 4);
    }

    #[test]
    fn each_kind_of_broken_link_is_found() {
        let dir = site(&[
            (
                "a.html",
                "<a href=\"gone.html\">1</a><a href=\"b.html#gone\">2</a><a href=\"../../x\">3</a>\
                 <a href=\"/root.html\">4</a><img src='gone.png'><a href=\"api/x.html#gone\">6</a>",
            ),
            ("b.html", "<p id=\"here\">"),
            ("api/x.html", "<p id=\"here\">"),
        ]);
        let links = check(dir.path(), &["api"]).unwrap();
        assert_eq!(
            links.broken,
            [
                "a.html: ../../x: leaves the site",
                "a.html: /root.html: leaves the site",
                "a.html: api/x.html#gone: no such anchor",
                "a.html: b.html#gone: no such anchor",
                "a.html: gone.html: no such file",
                "a.html: gone.png: no such file",
            ]
        );
    }

    #[test]
    fn scripts_and_comments_are_not_links() {
        let page = scan(
            "<script src=\"s.js\">x = '<a href=\"no\">'</script><!-- <a href=\"no\"> --><a href=\"yes\">",
        );
        assert_eq!(page.links, ["s.js", "yes"]);
    }
}
