// Object.prototype is frozen before any script of the page runs, so that no bug can poison what every object inherits.
// Plain freezing also forbids `object.toString = …` on other objects (a property that is read-only in the prototype cannot
// be assigned below it), which libraries rightly do; so each property becomes an accessor first that lets heirs have their own.
(() => {
  const base = Object.prototype;
  const define = Object.defineProperty;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(base))) {
    if (!("value" in property)) continue;
    const value = property.value;
    define(base, name, {
      get: () => value,
      set(own) {
        if (this === base) throw new TypeError("Object.prototype is frozen");
        define(this, name, { value: own, writable: true, enumerable: true, configurable: true });
      },
      enumerable: property.enumerable,
      configurable: false,
    });
  }
  Object.freeze(base);
})();
