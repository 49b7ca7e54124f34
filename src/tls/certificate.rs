//! What stands in a certificate, in RabbitMQ's words (`rabbit_cert_info`, `rabbit_ssl`): distinguished names as in RFC 4514,
//! and the user whom a client's certificate names.

use std::fmt::Write;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Attribute types that have a name; others are written as numbers.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    (COMMON_NAME, "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.6", "C"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
const COMMON_NAME: &str = "2.5.4.3";

/// Where the user's name stands in a client's certificate (`ssl_cert_login_from`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFrom {
    /// The whole subject: `CN=client,O=Acme`.
    DistinguishedName,
    /// Its common name; several are joined with commas.
    CommonName,
    /// An alternative name: of this type, the one at this place, from 0.
    AlternativeName(SanType, usize),
}

/// A type of alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanType {
    /// A host name.
    Dns,
    /// An IP address.
    Ip,
    /// An e-mail address.
    Email,
    /// A URI.
    Uri,
}

/// What is shown of a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when until when it is valid.
    pub validity: String,
    /// The user whom it names; None: none.
    pub login: Option<String>,
}

impl CertificateFacts {
    /// Reads a certificate.
    pub(super) fn read(der: &[u8], login_from: LoginFrom) -> Option<CertificateFacts> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(CertificateFacts {
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            validity: format!("{} - {}", validity.not_before, validity.not_after),
            login: login(&certificate, login_from).filter(|name| !name.is_empty()),
        })
    }
}

/// When a certificate ends, in seconds of the Unix epoch; 0 if it cannot be read.
pub(super) fn not_after(der: &[u8]) -> i64 {
    X509Certificate::from_der(der).map_or(0, |(_, certificate)| certificate.validity().not_after.timestamp())
}

fn login(certificate: &X509Certificate<'_>, from: LoginFrom) -> Option<String> {
    match from {
        LoginFrom::DistinguishedName => Some(distinguished_name(certificate.subject())),
        LoginFrom::CommonName => {
            let names: Vec<String> = attributes(certificate.subject())
                .filter(|part| part.attr_type().to_id_string() == COMMON_NAME)
                .map(|part| text(part))
                .collect();
            (!names.is_empty()).then(|| names.join(","))
        }
        LoginFrom::AlternativeName(kind, place) => alternative_names(certificate, kind).into_iter().nth(place),
    }
}

fn alternative_names(certificate: &X509Certificate<'_>, kind: SanType) -> Vec<String> {
    let names = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let name = |name: &GeneralName<'_>| match (kind, name) {
        (SanType::Dns, GeneralName::DNSName(name))
        | (SanType::Email, GeneralName::RFC822Name(name))
        | (SanType::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
        (SanType::Ip, GeneralName::IPAddress(bytes)) => address(bytes),
        _ => None,
    };
    names.into_iter().flatten().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string())
}

/// A name as RFC 4514 writes it: the last part first.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attributes<'a>(name: &'a X509Name<'a>) -> impl Iterator<Item = &'a AttributeTypeAndValue<'a>> {
    name.iter_rdn().flat_map(|part| part.iter())
}

fn attribute(part: &AttributeTypeAndValue<'_>) -> String {
    let id = part.attr_type().to_id_string();
    let name = TYPES.iter().find(|(known, _)| *known == id).map_or(id.as_str(), |(_, name)| name);
    format!("{name}={}", escaped(&text(part)))
}

fn text(part: &AttributeTypeAndValue<'_>) -> String {
    part.as_str().map_or_else(|_| String::from_utf8_lossy(part.as_slice()).into_owned(), str::to_owned)
}

/// RFC 4514, with everything that is not printable ASCII as hexadecimal bytes.
fn escaped(value: &str) -> String {
    let (mut out, last) = (String::new(), value.len().saturating_sub(1));
    for (place, byte) in value.bytes().enumerate() {
        let edge = (byte == b' ' && (place == 0 || place == last)) || (byte == b'#' && place == 0);
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => out.extend(['\\', char::from(byte)]),
            _ if edge => out.extend(['\\', char::from(byte)]),
            0..32 | 126.. => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_rabbitmq_does() {
        for (value, wanted) in [
            ("plain text", "plain text"),
            (" a ", "\\ a\\ "),
            ("#a#", "\\#a#"),
            ("a,b+c\"d\\e<f>g;h", "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h"),
            ("\u{e9}~\n", "\\C3\\A9\\7E\\0A"),
            ("", ""),
        ] {
            assert_eq!(escaped(value), wanted);
        }
    }
}
