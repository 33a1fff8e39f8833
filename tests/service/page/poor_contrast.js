// Every piece of visible text whose contrast with what lies behind it is below WCAG AA: 4.5, large text 3.0.
() => {
  const UNTESTED = ".letters, .ruler-text, noscript"; // white with a black rim on pictures; not shown
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
      if (a > 0) throw new Error("half transparent ground");
    }
    return [255, 255, 255];
  };
  const poor = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility({ checkOpacity: true }) || element.closest(UNTESTED)) continue;
    const style = getComputedStyle(element);
    const [one, other] = [
      luminance(parse(element instanceof SVGElement ? style.fill : style.color)),
      luminance(ground(element)),
    ];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700);
    count += 1;
    if (contrast < (large ? 3.0 : 4.5)) poor.push(`${contrast.toFixed(2)} ${text}`);
  }
  return { poor, count };
}
