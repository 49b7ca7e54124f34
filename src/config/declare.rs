//! The form in which settings are declared, and what is kept of each declaration.

use super::error::ConfigError;
use super::input::Input;
use super::sources::Given;

/// One setting as declared in `config/mod.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name: `section.key`, or `key` alone at the top of the file.
    pub key: &'static str,
    /// Its default, as written in TOML.
    pub default: &'static str,
    /// What it means, line by line.
    pub doc: &'static [&'static str],
    /// Whether its value must not be printed.
    pub secret: bool,
    /// What its value must be.
    pub expected: fn() -> String,
    /// Whether a value is one.
    pub(super) accepts: fn(&Input) -> bool,
}

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("WARREN_{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// Its section; empty at the top of the file.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its name within its section.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// What values of a setting look like.
pub(super) trait Kind {
    /// The checked value.
    type Value;

    /// True when a value must not be printed.
    const SECRET: bool = false;

    /// What is expected, to follow that word in an error.
    fn expected(&self) -> String;

    /// Checks a value. None when it is not what is expected.
    fn parse(&self, input: &Input) -> Option<Self::Value>;
}

/// Reads a setting's value, the strongest given one or the default.
pub(super) fn read<K: Kind>(
    given: &Given,
    key: &'static str,
    default: &str,
    kind: &K,
) -> Result<K::Value, ConfigError> {
    let (origin, input) = given.value_or(key, default)?;
    kind.parse(&input).ok_or_else(|| ConfigError::value(origin, key, kind.expected(), input.shown(K::SECRET)))
}

/// Declares the settings: structs with one field each, and the table of them.
macro_rules! settings {
    (
        Config {
            $( $(#[doc = $top_doc:literal])+ $top:ident : $top_ty:ty = $top_default:literal, $top_kind:expr; )+
        }
        $(
            $(#[doc = $section_doc:literal])+
            $section:ident : $name:ident {
                $( $(#[doc = $doc:literal])+ $key:ident : $ty:ty = $default:literal, $kind:expr; )+
            }
        )+
    ) => {
        /// All settings, checked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $( $(#[doc = $top_doc])+ pub $top: $top_ty, )+
            $( $(#[doc = $section_doc])+ pub $section: $name, )+
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                $( $(#[doc = $doc])+ pub $key: $ty, )+
            }
        )+

        impl Config {
            /// Every setting, in the order of the file.
            pub const SETTINGS: &[Setting] = &[
                $( declare::setting!(stringify!($top), [$($top_doc),+], $top_default, $top_kind), )+
                $( $(
                    declare::setting!(
                        concat!(stringify!($section), ".", stringify!($key)), [$($doc),+], $default, $kind
                    ),
                )+ )+
            ];

            /// Every section's name and meaning, in the order of the file.
            pub const SECTIONS: &[(&str, &[&str])] = &[ $( (stringify!($section), &[$($section_doc),+]), )+ ];

            /// Reads every setting from what was given.
            fn read(given: &sources::Given) -> Result<Config, ConfigError> {
                Ok(Config {
                    $( $top: declare::read(given, stringify!($top), $top_default, &$top_kind)?, )+
                    $( $section: $name {
                        $( $key: declare::read(
                            given, concat!(stringify!($section), ".", stringify!($key)), $default, &$kind
                        )?, )+
                    }, )+
                })
            }
        }
    };
}

/// One entry of the table.
macro_rules! setting {
    ($key:expr, $doc:expr, $default:literal, $kind:expr) => {
        Setting {
            key: $key,
            default: $default,
            doc: &$doc,
            secret: declare::is_secret(&$kind),
            expected: || declare::Kind::expected(&$kind),
            accepts: |input| declare::Kind::parse(&$kind, input).is_some(),
        }
    };
}

pub(super) const fn is_secret<K: Kind>(_: &K) -> bool {
    K::SECRET
}

pub(super) use {setting, settings};
