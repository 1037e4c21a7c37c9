//! The files that pages load, compiled in, at addresses that change with their content.
//!
//! Such an address never has to be asked for twice: the answer may be kept for ever, and a new version of the program
//! links to a new address.

use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One file.
pub struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    address: LazyLock<String>,
}

/// The stylesheet of all pages.
pub static STYLESHEET: Asset = Asset {
    stem: "style",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    bytes: include_bytes!("../../static/style.css"),
    address: LazyLock::new(|| STYLESHEET.hashed()),
};

/// The icon of all pages.
pub static ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    content_type: "image/svg+xml",
    bytes: include_bytes!("../../static/icon.svg"),
    address: LazyLock::new(|| ICON.hashed()),
};

static ALL: [&Asset; 2] = [&STYLESHEET, &ICON];

impl Asset {
    /// Path of the file on this server, with a hash of its content in it.
    pub fn address(&'static self) -> &'static str {
        &self.address
    }

    fn hashed(&self) -> String {
        // The hash only has to differ between versions of a file; the hasher starts with fixed keys.
        let mut hasher = DefaultHasher::new();
        hasher.write(self.bytes);
        format!("/static/{}.{:016x}.{}", self.stem, hasher.finish(), self.extension)
    }
}

/// Answers [`super::address::ASSET`]: the file, or 404 for any other name.
// The router takes only async functions as handlers.
#[allow(clippy::unused_async)]
pub async fn serve(Path(name): Path<String>) -> Response {
    let asset = ALL.into_iter().find(|asset| asset.address().strip_prefix("/static/") == Some(&name));
    match asset {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            asset.bytes,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(asset: &'static Asset) -> Path<String> {
        Path(asset.address().trim_start_matches("/static/").to_owned())
    }

    #[tokio::test]
    async fn a_file_is_at_its_address_and_nowhere_else() {
        for asset in ALL {
            let answer = serve(name(asset)).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], asset.content_type);
        }
        for other in ["style.css", "style.0000000000000000.css", "", "../Cargo.toml"] {
            assert_eq!(serve(Path(other.to_owned())).await.status(), StatusCode::NOT_FOUND);
        }
    }

    #[test]
    fn the_stylesheet_names_no_other_place() {
        let css = str::from_utf8(STYLESHEET.bytes).expect("text");
        for word in ["http", "url(", "@import", "//"] {
            assert!(!css.contains(word), "{word}");
        }
    }
}
