//! A package's page on an index: PEP 691 JSON, or the HTML of PEP 503 where an index has no JSON.

use html5gum::{Token, Tokenizer};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::filename::DistFilename;
use crate::name::PackageName;
use crate::text::printable;
use crate::unread::Unread;

/// Files of a page: more than twice as many as a page of 30 MB has room for, where links are as long as
/// PyPI's.
const MOST_FILES: usize = 250_000;
/// Bytes of their addresses, of which a page has only what differs.
const MOST_BYTES: usize = 256 << 20;
/// Objects of a page for each of its files: the file itself, its hashes, those of its metadata by both names.
/// One more, since a bracket may stand in a text.
const OBJECTS: usize = 5;
/// Longest address that links start from: each of theirs repeats it.
const LONGEST_BASE: usize = 8192;

/// A file that the index offers.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    pub filename: DistFilename,
    pub url: Url,
    /// 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    pub size: Option<u64>,
    pub requires_python: Option<String>,
    pub yanked: bool,
    /// RFC 3339, in UTC, as PEP 700 has it.
    pub upload_time: Option<String>,
    /// Whether the file's metadata can be had beside it (PEP 658).
    pub metadata: Metadata,
}

/// What the index says of a file's separate metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// There is none.
    Missing,
    /// It is there, its sha256 is unknown.
    Unhashed,
    /// It is there, with this sha256.
    Hashed(String),
}

/// The files of a package that can be understood. Others are left out, as pip does.
#[derive(Debug, Clone)]
pub(crate) struct ProjectPage {
    pub name: PackageName,
    pub files: Vec<IndexFile>,
    /// Of those that are left out, the ones in formats that are not read.
    pub unread: Unread,
}

impl ProjectPage {
    /// Reads a page that came from `url` with this `Content-Type`.
    pub(crate) fn parse(
        name: &PackageName,
        content_type: &str,
        body: &str,
        url: &Url,
    ) -> Result<Self, String> {
        Self::parse_within(name, content_type, body, url, Room::default())
    }

    fn parse_within(
        name: &PackageName,
        content_type: &str,
        body: &str,
        url: &Url,
        room: Room,
    ) -> Result<Self, String> {
        check_base(url)?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/vnd.pypi.simple.v1+json" | "application/vnd.pypi.simple.latest+json" => {
                parse_json(name, body, url, room)
            }
            "text/html"
            | "application/vnd.pypi.simple.v1+html"
            | "application/vnd.pypi.simple.latest+html" => parse_html(name, body, url, room),
            _ => Err("the answer is no package page, neither JSON nor HTML".to_owned()),
        }
    }

    /// One that lists nothing yet.
    fn of(name: &PackageName) -> Self {
        Self {
            name: name.clone(),
            files: vec![],
            unread: Unread::default(),
        }
    }

    /// What this file name of the page says, which is remembered where its format is not read.
    fn filename(&mut self, raw: &str) -> Option<DistFilename> {
        let parsed = DistFilename::parse(raw, Some(&self.name));
        if parsed.is_err() {
            self.unread.note(raw, &self.name);
        }
        parsed.ok()
    }

    /// Lists a file, where there is room.
    fn list(&mut self, file: IndexFile, room: &mut Room) -> Result<(), String> {
        room.take(&file)?;
        self.files.push(file);
        Ok(())
    }
}

/// What may still be listed.
struct Room {
    files: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            files: MOST_FILES,
            bytes: MOST_BYTES,
        }
    }
}

impl Room {
    /// Takes what a file needs.
    fn take(&mut self, file: &IndexFile) -> Result<(), String> {
        let (files, bytes) = (
            self.files.checked_sub(1),
            self.bytes.checked_sub(file.url.as_str().len()),
        );
        let (Some(files), Some(bytes)) = (files, bytes) else {
            return Err(too_much());
        };
        (self.files, self.bytes) = (files, bytes);
        Ok(())
    }
}

fn too_much() -> String {
    "it lists more files, or longer addresses, than an index has of one package".to_owned()
}

#[derive(Deserialize)]
struct JsonPage<'a> {
    meta: JsonMeta,
    #[serde(borrow)]
    files: Vec<JsonFile<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonMeta {
    api_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile<'a> {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: JsonHashes,
    size: Option<u64>,
    requires_python: Option<String>,
    // Raw, since as values they may take many times the memory of the page.
    #[serde(borrow)]
    yanked: Option<&'a RawValue>,
    upload_time: Option<String>,
    #[serde(borrow)]
    core_metadata: Option<&'a RawValue>,
    /// The old name of the above (PEP 714).
    #[serde(borrow)]
    dist_info_metadata: Option<&'a RawValue>,
}

impl JsonFile<'_> {
    fn listed(self, filename: DistFilename, base: &Url) -> Option<IndexFile> {
        Some(IndexFile {
            filename,
            url: join(base, base, &self.url)?,
            sha256: self.hashes.sha256.and_then(|text| sha256(&text)),
            size: self.size,
            requires_python: self.requires_python,
            // `false`, `true`, or the reason as a string.
            yanked: self.yanked.is_some_and(|told| told.get() != "false"),
            upload_time: self.upload_time,
            metadata: separate_metadata(self.core_metadata.or(self.dist_info_metadata)),
        })
    }
}

#[derive(Deserialize, Default)]
struct JsonHashes {
    sha256: Option<String>,
}

/// What the index says of separate metadata: a truth value, or their hashes.
fn separate_metadata(told: Option<&RawValue>) -> Metadata {
    match told.map_or("false", RawValue::get) {
        "false" => Metadata::Missing,
        "true" => Metadata::Unhashed,
        told => match serde_json::from_str::<JsonHashes>(told) {
            Err(_) => Metadata::Missing,
            Ok(hashes) => hashes
                .sha256
                .and_then(|text| sha256(&text))
                .map_or(Metadata::Unhashed, Metadata::Hashed),
        },
    }
}

fn parse_json(
    name: &PackageName,
    body: &str,
    base: &Url,
    mut room: Room,
) -> Result<ProjectPage, String> {
    // Before they are read: as values they may take ten times the memory of the page.
    // A list of an object's values is read as that object.
    let objects = body.bytes().filter(|byte| matches!(byte, b'{' | b'['));
    // Four of them are the page, what it says of itself, and its lists of files and versions.
    if objects.count() > room.files.saturating_mul(OBJECTS).saturating_add(4) {
        return Err(too_much());
    }
    let page: JsonPage<'_> = serde_json::from_str(body).map_err(|error| {
        // It may quote the page.
        let error = printable(&error.to_string(), 200);
        format!("its JSON is not a package page (PEP 691): {error}")
    })?;
    check_version(&page.meta.api_version)?;
    let mut listed = ProjectPage::of(name);
    for file in page.files {
        let filename = listed.filename(&file.filename);
        if let Some(file) = filename.and_then(|filename| file.listed(filename, base)) {
            listed.list(file, &mut room)?;
        }
    }
    Ok(listed)
}

fn parse_html(
    name: &PackageName,
    body: &str,
    url: &Url,
    mut room: Room,
) -> Result<ProjectPage, String> {
    let mut base = url.clone();
    let mut page = ProjectPage::of(name);
    // The link under way, and its text so far: the file's name.
    let mut link: Option<(IndexLink, String)> = None;
    for token in Tokenizer::new(body) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let attribute = |name: &str| {
                    let value = tag.attributes.get(name.as_bytes())?;
                    Some(String::from_utf8_lossy(value.as_ref()).into_owned())
                };
                match &**tag.name {
                    b"base" => {
                        base = attribute("href")
                            .and_then(|href| url.join(&href).ok())
                            .unwrap_or(base);
                        check_base(&base)?;
                    }
                    b"meta" if attribute("name").as_deref() == Some("pypi:repository-version") => {
                        check_version(&attribute("content").unwrap_or_default())?;
                    }
                    b"a" => link = IndexLink::read(&attribute).map(|link| (link, String::new())),
                    _ => {}
                }
            }
            Token::String(text) => {
                if let Some((_, name)) = &mut link {
                    name.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Token::EndTag(tag) if &**tag.name == b"a" => {
                let file = link.take().and_then(|(link, text)| {
                    // First: most links of a hostile page may be no files, and an address costs more.
                    let filename = page.filename(text.trim())?;
                    link.listed(filename, url, &base)
                });
                if let Some(file) = file {
                    page.list(file, &mut room)?;
                }
            }
            _ => {}
        }
    }
    Ok(page)
}

/// The attributes of a link (PEP 503, 592, 658, 714).
struct IndexLink {
    href: String,
    requires_python: Option<String>,
    yanked: bool,
    upload_time: Option<String>,
    metadata: Option<String>,
}

impl IndexLink {
    fn read(attribute: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self {
            href: attribute("href")?,
            requires_python: attribute("data-requires-python"),
            yanked: attribute("data-yanked").is_some(),
            // Not in any PEP, but some mirrors have it.
            upload_time: attribute("data-upload-time"),
            metadata: attribute("data-core-metadata").or(attribute("data-dist-info-metadata")),
        })
    }

    fn listed(self, filename: DistFilename, page: &Url, base: &Url) -> Option<IndexFile> {
        let mut url = join(page, base, &self.href)?;
        let fragment = url
            .fragment()
            .and_then(|fragment| sha256(fragment.strip_prefix("sha256=")?));
        url.set_fragment(None);
        let metadata = match self.metadata.as_deref() {
            None | Some("false") => Metadata::Missing,
            Some(value) => match value.strip_prefix("sha256=").and_then(sha256) {
                Some(hash) => Metadata::Hashed(hash),
                None => Metadata::Unhashed,
            },
        };
        Some(IndexFile {
            filename,
            url,
            sha256: fragment,
            size: None,
            requires_python: self.requires_python,
            yanked: self.yanked,
            upload_time: self.upload_time,
            metadata,
        })
    }
}

/// Version 1 of the interface, whatever its minor version (PEP 629).
fn check_version(version: &str) -> Result<(), String> {
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err("its version of the index interface is not 1".to_owned()),
    }
}

/// Whether an address is none too long for links to start from.
fn check_base(base: &Url) -> Result<(), String> {
    if base.as_str().len() > LONGEST_BASE {
        return Err(format!(
            "its links start from an address of more than {LONGEST_BASE} bytes"
        ));
    }
    Ok(())
}

/// The address `href` leads to. A page that came by https does not lead to http, and the page's
/// credentials go with it to the same server only.
fn join(page: &Url, base: &Url, href: &str) -> Option<Url> {
    let mut url = base.join(href).ok()?;
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && page.scheme() == "http");
    if !allowed {
        return None;
    }
    if url.origin() == page.origin() && url.username().is_empty() && url.password().is_none() {
        url.set_username(page.username()).ok()?;
        url.set_password(page.password()).ok()?;
    }
    Some(url)
}

/// `text` as a sha256 in lower case, where it is one.
fn sha256(text: &str) -> Option<String> {
    let hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
