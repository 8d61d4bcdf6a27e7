//! What a file is called that is fetched over http.

/// The name of files whose address has none, as docker has it.
const UNNAMED: &str = "__unnamed__";

/// The name that a file fetched from this address gets: the last part of the path.
pub fn http_file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = percent_decoded(last);
    match name.as_str() {
        "" | "." | ".." => UNNAMED.to_owned(),
        name if name.contains(['/', '\0']) => UNNAMED.to_owned(),
        _ => name,
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(decoded)) = (byte, decoded) {
            bytes.push(decoded);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name that a file gets when nobody but its server chooses one: what the answer says
/// (`Content-Disposition`), else the last part of the path, else `download`.
pub fn served_file_name(url: &str, disposition: Option<&str>) -> String {
    let said = disposition.and_then(said_file_name);
    said.unwrap_or_else(|| match http_file_name(url) {
        name if name == UNNAMED => "download".to_owned(),
        name => name,
    })
}

/// The file name of a `Content-Disposition`, without its directories.
fn said_file_name(disposition: &str) -> Option<String> {
    let (_, mut rest) = disposition.split_once(';')?;
    let mut said = None;
    while let Some((name, value)) = rest.split_once('=') {
        let (value, after) = parameter(value.trim_start());
        match name.trim().to_ascii_lowercase().as_str() {
            "filename" => said = said.or(Some(value)),
            // As RFC 5987 has it: a charset, a language, and escapes. It wins over the plain one.
            "filename*" => {
                let mut parts = value.splitn(3, '\'');
                if let (Some(charset), Some(_), Some(text)) =
                    (parts.next(), parts.next(), parts.next())
                    && charset.eq_ignore_ascii_case("utf-8")
                {
                    said = Some(percent_decoded(text));
                }
            }
            _ => {}
        }
        rest = after.trim_start().strip_prefix(';').unwrap_or_default();
    }
    let name = said.filter(|name| !name.ends_with('/'))?;
    let name = name.rsplit('/').next().unwrap_or_default();
    let fits = !matches!(name, "" | "." | "..") && !name.contains('\0');
    fits.then(|| name.to_owned())
}

/// A parameter's value, and what comes behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::served_file_name;

    #[track_caller]
    fn check(url: &str, disposition: &str, name: &str) {
        let disposition = Some(disposition).filter(|text| !text.is_empty());
        assert_eq!(served_file_name(url, disposition), name);
    }

    #[test]
    fn a_file_is_called_what_its_server_says_or_as_its_address_ends() {
        check("https://h/a/b.tar?x=1", "", "b.tar");
        check("https://h/", "", "download");
        check("https://h/a", "attachment; filename=b.txt; size=3", "b.txt");
        check("https://h/a", "attachment; filename=\"b \\\"c\\\".txt\"", "b \"c\".txt");
        check("https://h/a", "attachment; filename*=UTF-8''%c3%bc.txt; filename=x", "ü.txt");
    }

    #[test]
    fn names_never_lead_into_another_directory() {
        check("https://h/a", "attachment; filename=\"../../etc/passwd\"", "passwd");
        check("https://h/a", "attachment; filename=\"d/\"", "a");
        check("https://h/a", "attachment; filename=\"..\"", "a");
        check("https://h/a", "attachment", "a");
        check("https://h/%2e%2e", "", "download");
    }
}
