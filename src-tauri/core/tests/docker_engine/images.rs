//! The images themselves: current ones are left alone, a stopped build leaves nothing that looks finished.

use super::{docker, image};
use forge_core::engine::Images;
use forge_core::error::Code;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn all_images_are_built_once_and_then_current() {
    for name in ["host", "router", "server", "gateway", "tools"] {
        assert!(image(name).await.starts_with("sha256:"));
    }
    let images = Images::new(docker());
    let begun = Instant::now();
    let seen = Mutex::new(Vec::new());
    images.prepare(&[], &|p| seen.lock().unwrap().push((p.image, p.step)), &CancellationToken::new()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "nothing was to be built");
    let expected: Vec<_> =
        ["host", "router", "server", "gateway", "tools"].map(|n| (n.to_owned(), "ready".to_owned())).into();
    assert_eq!(seen.into_inner().unwrap(), expected);
    for state in images.list().await.unwrap() {
        assert!(state.ready && state.reason.is_empty() && state.bytes.unwrap() > 50 << 20, "{state:?}");
    }
}

#[tokio::test]
async fn unknown_names_and_cancelled_work_have_their_codes() {
    let images = Images::new(docker());
    let never = CancellationToken::new();
    assert_eq!(images.resolve("cisco").await.unwrap_err().code, Code::InvalidInput);
    assert_eq!(images.prepare(&["cisco".into()], &|_| (), &never).await.unwrap_err().code, Code::InvalidInput);
    never.cancel();
    assert_eq!(images.prepare(&[], &|_| (), &never).await.unwrap_err().code, Code::Cancelled);
}
