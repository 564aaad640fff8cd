//! The labs are embedded (`template::catalogue`): a file that appears or goes must rebuild, too.
fn main() {
    println!("cargo:rerun-if-changed=../../templates");
    println!("cargo:rerun-if-changed=build.rs");
}
