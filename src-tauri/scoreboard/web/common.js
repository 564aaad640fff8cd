// What both pages share. Text only ever becomes text: nothing here makes markup out of what a server or a stranger says.
export const points = (milli) => (milli / 1000).toLocaleString(undefined, { maximumFractionDigits: 3 });
export const many = (count, one, more) => `${count} ${count === 1 ? one : more}`;
export async function json(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
export const at = (id) => document.getElementById(id);
