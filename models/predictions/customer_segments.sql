-- One row per identified customer with an order: RFM segment as of the last complete day, and the current cluster.
with

rfm as (

    select * from {{ ref('customer_rfm') }}
    where is_latest

),

clusters as (

    select * from {{ source('ml', 'customer_segments') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'segments'
        and status = 'ok'

),

customers as (

    select * from {{ ref('dim_customers') }}

),

current_clusters as (

    select clusters.*
    from clusters
    inner join current_runs
        on clusters.run_id = current_runs.run_id

),

final as (

    select
        rfm.customer_key,
        customers.customer_id,
        customers.customer_type,
        customers.country,
        rfm.rfm_code,
        rfm.rfm_segment,
        current_clusters.cluster_name,
        current_clusters.run_id,
        rfm.rfm_segment_rank,
        rfm.recency_score,
        rfm.frequency_score,
        rfm.monetary_score,
        current_clusters.cluster,
        rfm.recency_days,
        rfm.order_days,
        rfm.monetary_amount,
        current_clusters.distance as cluster_distance,
        rfm.as_of_date,
        current_clusters.as_of_date as cluster_as_of_date,
        current_clusters.scored_at
    from rfm
    inner join customers
        on rfm.customer_key = customers.customer_key
    -- the run may be of an earlier day: a cluster is told until the next one is found
    left join current_clusters
        on rfm.customer_key = current_clusters.customer_key

)

select * from final
