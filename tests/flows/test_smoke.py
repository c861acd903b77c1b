import base64, hashlib, hmac, json, sys, time, uuid
from worker.store import connections, db, envelopes, ready
from worker import ingest, drain as d
sys.path.insert(0,"/work/shared/baseline")

def test_smoke(engine, organization_id):
    from events import stream
    with engine.begin() as conn:
        cid = connections.insert(conn, organization_id, connector="shopify", source="shopify", options={}, region=None, priority=100, webhook_secrets=["x"], access_token=None)
        row = connections.by_id(conn, cid)
    src = ingest.source_of(row)
    t=time.perf_counter()
    incoming=[]
    N=int(__import__("os").environ.get("N","4000"))
    for delivery, body in stream(N):
        raw=json.dumps(body).encode()
        h=[("X-Shopify-Topic","customers/update"),("X-Shopify-Webhook-Id",delivery),("X-Shopify-Triggered-At","2026-11-01T00:00:00Z"),("X-Shopify-Hmac-Sha256",base64.b64encode(hmac.digest(b"x",raw,"sha256")).decode())]
        incoming.append(ingest.accept(src,h,raw))
    t1=time.perf_counter(); print("accept",N/(t1-t))
    for i in range(0,N,100):
        with engine.begin() as conn: envelopes.keep(conn,incoming[i:i+100])
    t2=time.perf_counter(); print("keep",N/(t2-t1))
    if 1:
        import cProfile,pstats
        pr=cProfile.Profile(); 
        pr.enable()
        print(d.drain(engine, cid.int%8, budget_s=10))
        pr.disable(); pstats.Stats(pr).sort_stats("cumtime").print_stats(45)
    t3=time.perf_counter(); print("drain",N/(t3-t2))
    with engine.begin() as conn:
        from sqlalchemy import text
        for t in "envelopes ready outcomes parked contacts records claims consents suppressions changes envelope_records".split():
            print(t, conn.execute(text(f"select count(*) from {t}")).scalar())
        print(conn.execute(text("select * from parked limit 2")).all())
        print(conn.execute(text("select * from contacts limit 1")).all())
        print(conn.execute(text("select state from records limit 1")).all())
        print(conn.execute(text("select details from changes order by id desc limit 1")).all())
