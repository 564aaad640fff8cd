// A learner whose clock is wrong is told in the lab what that means and what to do, in words that nothing cuts off.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./browser.mjs";
import { serveFake } from "./fake.mjs";

let ui, tab;
before(async () => {
  ui = await serveFake();
  tab = await open();
});
after(async () => {
  await tab?.browser.close();
  await ui?.stop();
});

for (const [width, height] of [[1280, 800], [1920, 1080]]) {
  test(`a wrong clock is told in whole at ${width}`, async () => {
    const { page } = tab;
    await page.setViewportSize({ width, height });
    await page.goto(ui.at("class-clock", "#/lab/k3v9q2x7a0"));
    const told = page.getByText("does not count for the session");
    await told.waitFor();
    assert.match(await told.innerText(), /47 min ahead .* Set it right, and start the lab again\.$/);
    const { cut, inside } = await told.evaluate((e) => {
      const box = e.getBoundingClientRect();
      return { cut: e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1, inside: box.left >= 0 && box.right <= innerWidth && box.height > 0 };
    });
    assert.deepEqual({ cut, inside }, { cut: false, inside: true });
    const title = page.getByRole("region", { name: "Session", exact: true }).getByRole("link");
    assert.ok(await title.evaluate((e) => e.scrollWidth <= e.clientWidth + 1), "the session’s title has its room beside it");
  });
}
