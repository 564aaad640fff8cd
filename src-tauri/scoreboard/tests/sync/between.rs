//! What stands between a laptop and its scoreboard: something that looks at what passes, and may change it or cut it off.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes to the same number of bytes.
pub type Change = fn(&mut Vec<u8>);

pub struct Between {
    pub url: String,
    /// Bytes of answers that still get through.
    pub left: Arc<AtomicUsize>,
    /// What was asked, each by its first line.
    pub asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Between {
    pub async fn and(server: &str, change: Change) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (left, asked) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::<std::sync::Mutex<Vec<String>>>::default());
        let (to, rest, seen) = (server.trim_start_matches("http://").to_owned(), left.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((laptop, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                tokio::spawn(pass(laptop, server, rest.clone(), seen.clone(), change));
            }
        });
        Self { url, left, asked }
    }

    /// How many requests there were so far whose first line begins like this.
    pub fn count(&self, begins: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| line.starts_with(begins)).count()
    }
}

async fn pass(
    laptop: TcpStream,
    server: TcpStream,
    left: Arc<AtomicUsize>,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    change: Change,
) {
    let ((mut from, mut to), (mut back, mut out)) = (laptop.into_split(), server.into_split());
    let questions = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buffer).await
            && n > 0
        {
            let mut piece = buffer[..n].to_vec();
            change(&mut piece);
            let text = String::from_utf8_lossy(&piece);
            let lines = text.lines().filter(|l| l.ends_with("HTTP/1.1")).map(str::to_owned);
            asked.lock().unwrap().extend(lines);
            if out.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = back.read(&mut buffer).await
            && n > 0
        {
            let may = left.load(Ordering::SeqCst).min(n);
            if left.load(Ordering::SeqCst) != usize::MAX {
                left.fetch_sub(may, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..may]).await.is_err() || may < n {
                break;
            }
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}
