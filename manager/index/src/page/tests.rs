//! What is read of pages, and what is not.

use super::*;

const HASH: &str = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn parse(content_type: &str, body: &str) -> Result<Vec<IndexFile>, String> {
    let url = Url::parse("https://u:p@index.test/simple/a/").unwrap();
    Ok(ProjectPage::parse(&"a".parse().unwrap(), content_type, body, &url)?.files)
}

#[test]
fn json_and_html_say_the_same() {
    let json = format!(
        r#"{{"meta":{{"api-version":"1.1"}},"name":"a","files":[
            {{"filename":"a-1.0.tar.gz","url":"../../f/a-1.0.tar.gz","hashes":{{"sha256":"{HASH}"}},
              "requires-python":">=3.9","yanked":"broken","core-metadata":{{"sha256":"{HASH}"}}}},
            {{"filename":"../a-1.1.tar.gz","url":"x","hashes":{{}}}},
            {{"filename":"a-1.2.tar.gz","url":"http://plain.test/a","hashes":{{}}}}]}}"#
    );
    let html = format!(
        "<!DOCTYPE html><html><head><meta name=pypi:repository-version content=1.0></head><body>\
         <a href=\"../../f/a-1.0.tar.gz#sha256={HASH}\" data-requires-python=\"&gt;=3.9\" \
         data-yanked=broken data-core-metadata=\"sha256={HASH}\">a-1.0.tar.gz</a>\
         <a href=x>../a-1.1.tar.gz</a><a href=\"http://plain.test/a\">a-1.2.tar.gz</a></body></html>"
    );
    let json = parse("application/vnd.pypi.simple.v1+json", &json).unwrap();
    let html = parse("text/html; charset=utf-8", &html).unwrap();
    for files in [json, html] {
        assert_eq!(files.len(), 1, "{files:?}");
        let file = &files[0];
        assert_eq!(file.url.as_str(), "https://u:p@index.test/f/a-1.0.tar.gz");
        assert_eq!(file.sha256, Some(HASH.to_ascii_lowercase()));
        assert_eq!(file.requires_python.as_deref(), Some(">=3.9"));
        assert!(file.yanked);
        assert_eq!(file.metadata, Metadata::Hashed(HASH.to_ascii_lowercase()));
    }
}

#[test]
fn what_is_told_of_a_file_may_be_of_any_kind() {
    let file = |told: &str| {
        let json = format!(
            r#"{{"meta":{{"api-version":"1.0"}},"files":[
            {{"filename":"a-1.0.tar.gz","url":"a"{told}}}]}}"#
        );
        let files = parse("application/vnd.pypi.simple.v1+json", &json).unwrap();
        (files[0].yanked, files[0].metadata.clone())
    };
    let large = format!("[{}0]", "0,".repeat(1000));
    for (yanked, expected) in [
        ("", false),
        (r#","yanked":null"#, false),
        (r#","yanked":false"#, false),
        (r#","yanked":true"#, true),
        (r#","yanked":"""#, true),
        (&*format!(r#","yanked":{large}"#), true),
    ] {
        assert_eq!(file(yanked).0, expected, "{yanked}");
    }
    for (told, expected) in [
        (
            r#","core-metadata":null,"dist-info-metadata":true"#,
            Metadata::Unhashed,
        ),
        (r#","core-metadata":false"#, Metadata::Missing),
        (r#","core-metadata":{"md5":"0"}"#, Metadata::Unhashed),
        (&*format!(r#","core-metadata":{large}"#), Metadata::Missing),
    ] {
        assert_eq!(file(told).1, expected, "{told}");
    }
}

#[test]
fn files_in_formats_that_are_not_read_are_remembered_and_nothing_else_is() {
    let names = [
        "a-1.0.tar.bz2",
        "a-1.1.tar.gz",
        "../a-2.0.egg",
        "b-2.0.exe",
        "a-2.0.msi\u{1b}[2J",
    ];
    let file = |name: &&str| {
        let name = serde_json::to_string(name).unwrap();
        format!(r#"{{"filename":{name},"url":"f"}}"#)
    };
    let json = format!(
        r#"{{"meta":{{"api-version":"1.0"}},"files":[{}]}}"#,
        names.iter().map(file).collect::<Vec<_>>().join(",")
    );
    let link = |name: &&str| format!("<a href=f>{name}</a>");
    let html: String = names.iter().map(link).collect();
    let url = Url::parse("https://index.test/simple/a/").unwrap();
    for (content_type, body) in [
        ("application/vnd.pypi.simple.v1+json", json),
        ("text/html", html),
    ] {
        let page = ProjectPage::parse(&"a".parse().unwrap(), content_type, &body, &url).unwrap();
        let read = page.files.iter().map(|file| file.filename.as_str());
        let read: Vec<&str> = read.collect();
        assert_eq!(read, ["a-1.1.tar.gz"], "{content_type}");
        assert_eq!(
            page.unread.told(None).as_deref(),
            Some(
                "the index has it only in formats that are not read (.tar.bz2): unpack a source and give its \
                 directory"
            ),
            "{content_type}"
        );
    }
}

#[test]
fn what_is_no_page_is_refused() {
    assert!(parse("application/vnd.pypi.simple.v1+json", "{").is_err());
    assert!(parse("image/png", "").is_err());
    let future = r#"{"meta":{"api-version":"2.0"},"files":[]}"#;
    assert!(parse("application/vnd.pypi.simple.v1+json", future).is_err());
    let quoted = format!(r#"{{"meta":"{}"}}"#, "x".repeat(9999));
    let error = parse("application/vnd.pypi.simple.v1+json", &quoted).unwrap_err();
    assert!(error.len() < 999, "{error}");
}

#[test]
fn a_page_lists_what_there_is_room_for_and_no_more() {
    let url = Url::parse("https://index.test/simple/a/").unwrap();
    let html = "<base href='/f/'><a href=x>a-1.zip</a><a href=y>a-2.zip</a><a href=z>no file</a>";
    let file = |at: u32| format!(r#"{{"filename":"a-{at}.zip","url":"/f/{at}"}}"#);
    let json = format!(
        r#"{{"meta":{{"api-version":"1.0"}},"files":[{},{}]}}"#,
        file(1),
        file(2)
    );
    let bytes = 2 * "https://index.test/f/x".len();
    for (content_type, body) in [
        ("text/html", html),
        ("application/vnd.pypi.simple.v1+json", &*json),
    ] {
        let read = |files, bytes| {
            let (name, room) = ("a".parse().unwrap(), Room { files, bytes });
            let page = ProjectPage::parse_within(&name, content_type, body, &url, room);
            page.map(|page| page.files.len())
        };
        assert_eq!(read(2, bytes), Ok(2), "{content_type}");
        assert_eq!(read(1, bytes), Err(too_much()), "{content_type}");
        assert_eq!(read(2, bytes - 1), Err(too_much()), "{content_type}");
    }
    // What may be too many files is not even read as JSON.
    for body in ["{".repeat(10), "[".repeat(10)] {
        let (name, room) = ("a".parse().unwrap(), Room { files: 1, bytes });
        let error = parse_json(&name, &body, &url, room).unwrap_err();
        assert_eq!(error, too_much());
    }
}

#[test]
fn no_link_repeats_a_long_address() {
    let html = |length: usize| format!("<base href='/{}/'>", "x".repeat(length));
    assert!(parse("text/html", &html(LONGEST_BASE / 2)).is_ok());
    assert!(parse("text/html", &html(LONGEST_BASE)).is_err());
}

#[test]
fn credentials_stay_with_their_server() {
    let html = format!("<a href='https://other.test/a#sha256={HASH}'>a-1.0.tar.gz</a>");
    assert_eq!(
        parse("text/html", &html).unwrap()[0].url.as_str(),
        "https://other.test/a"
    );
}
