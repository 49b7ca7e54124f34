//! Pages of lists (compat.md 3.1), and the `name` filter that comes with them.

use super::answer::Failure;
use super::request::Request;
use fancy_regex::Regex;
use serde_json::{Value as Json, json};
use std::ops::Range;

const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;
/// Longest `name` filter, in characters.
const FILTER_MAX: usize = 1024;
/// Steps back that a filter may take for a name before it counts as no match.
const FILTER_STEPS: usize = 100_000;

/// The page that is asked for.
#[derive(Debug)]
pub(super) struct Page {
    number: usize,
    size: usize,
    /// Which names are on pages; None: all.
    pub filter: Option<Filter>,
}

/// Which names are on pages.
#[derive(Debug)]
pub(super) enum Filter {
    Contains(String),
    Matches(Box<Regex>),
}

impl Filter {
    pub fn passes(&self, name: &str) -> bool {
        match self {
            Filter::Contains(part) => name.to_lowercase().contains(part),
            Filter::Matches(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

impl Page {
    /// None: no page is asked for, but everything.
    ///
    /// # Errors
    /// Parameters that make no sense.
    pub fn of(request: &Request) -> Result<Option<Page>, Failure> {
        let Some(page) = request.query("page") else { return Ok(None) };
        let size = request.query("page_size");
        let invalid = || {
            Failure::invalid(
                "invalid_pagination_parameters",
                format!("Invalid pagination parameters: page number {page}, page size {}", size.unwrap_or("undefined")),
            )
        };
        let number = page.parse::<usize>().map_err(|_| Failure::bad_request("Pagination parameters are invalid"))?;
        let size_ = size.map_or(Ok(PAGE_SIZE), str::parse::<usize>);
        let size_ = size_.map_err(|_| Failure::bad_request("Pagination parameters are invalid"))?;
        if number == 0 || size_ == 0 || size_ > PAGE_SIZE_MAX {
            return Err(invalid());
        }
        Ok(Some(Page { number, size: size_, filter: Page::filter(request)? }))
    }

    fn filter(request: &Request) -> Result<Option<Filter>, Failure> {
        let Some(text) = request.query("name").filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.chars().count() > FILTER_MAX {
            return Err(Failure::bad_request(format!("name: longer than {FILTER_MAX} characters")));
        }
        if !request.flag("use_regex") {
            return Ok(Some(Filter::Contains(text.to_lowercase())));
        }
        let mut builder = fancy_regex::RegexBuilder::new(text);
        let regex = builder.case_insensitive(true).backtrack_limit(FILTER_STEPS).build();
        let regex = regex.map_err(|fault| Failure::bad_request(format!("Invalid regular expression: {fault}")))?;
        Ok(Some(Filter::Matches(Box::new(regex))))
    }

    /// Where its items would be in a list without an end.
    pub fn wanted(&self) -> Range<usize> {
        let from = (self.number - 1).saturating_mul(self.size);
        from..from.saturating_add(self.size)
    }

    /// Where its items are in a list of so many.
    ///
    /// # Errors
    /// It is beyond the end.
    pub fn range(&self, filtered: usize) -> Result<Range<usize>, Failure> {
        let Range { start, end } = self.wanted();
        // RabbitMQ takes a page that begins where the list ends for an empty one.
        if start > filtered {
            return Err(Failure::invalid(
                "page_out_of_range",
                format!("Page out of range, page: {} page size: {}, len: {filtered}", self.number, self.size),
            ));
        }
        Ok(start..end.min(filtered))
    }

    /// The members that stand beside its items.
    pub fn head(&self, total: usize, filtered: usize, items: usize) -> Json {
        json!({
            "filtered_count": filtered,
            "item_count": items,
            "page": self.number,
            "page_count": filtered.div_ceil(self.size),
            "page_size": self.size,
            "total_count": total,
        })
    }
}
