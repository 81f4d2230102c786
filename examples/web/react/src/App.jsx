/** Sliders and a streamed answer. React 19 hands objects to custom elements as properties. */

import { useEffect, useRef, useState } from "react";
import { Mavis } from "mavis";

const server = new Mavis({ baseURL: "/" });

export function App() {
  const [objectives, setObjectives] = useState([]);
  const [weights, setWeights] = useState({});
  const [prompt, setPrompt] = useState("How was your day?");
  const [answer, setAnswer] = useState("");
  const [cost, setCost] = useState(null);
  const [problem, setProblem] = useState("");
  const running = useRef(null);

  useEffect(() => {
    server.objectives().then(setObjectives, (error) => setProblem(error.message));
    return () => running.current?.abort();
  }, []);

  async function ask(event) {
    event.preventDefault();
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    setAnswer("");
    setCost(null);
    setProblem("");
    try {
      for await (const { text, guidance } of server.chat({
        messages: [{ role: "user", content: prompt }],
        weights,
        signal,
      })) {
        setAnswer((before) => before + text);
        if (guidance) setCost(guidance.kl_nats);
      }
    } catch (error) {
      if (!signal.aborted) setProblem(error.message);
    }
  }

  return (
    <main>
      <mavis-weights objectives={objectives} onInput={(event) => setWeights(event.currentTarget.weights)} />
      <form onSubmit={ask}>
        <input value={prompt} onChange={(event) => setPrompt(event.target.value)} aria-label="Message" />
        <button>Send</button>
      </form>
      <output>{answer}</output>
      {cost !== null && <p>{cost.toFixed(2)} nats from the base model</p>}
      {problem && <p role="alert">{problem}</p>}
    </main>
  );
}
